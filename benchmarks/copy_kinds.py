"""How often different images are taken for copies, and planted copies are found, on many kinds of images.

Each kind is a set of different images, of which some are altered as people alter them and added again. Prints, for each
kind, the images that stand in a group with another original, per 1,000, and the share of each alteration that is found.

    python benchmarks/copy_kinds.py digits cells patches demo noise
    python benchmarks/copy_kinds.py /data/scans          # a folder of images, such as one with a folder a class

Of a folder of one's own, true copies among its images count as false ones: look at the pairs that it prints.
"""

import argparse
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from tasks.copies.content import Content
from tasks.copies.duplicates import dhash, group_by_pairs
from tasks.copies.found_copies import FoundCopies, copies_among
from tasks.copies.settings import NearCopyRule
from tasks.demo.data_set import make_demo
from tasks.images.decode import decode, prepare
from tasks.images.reject_reasons import ImageRejected
from tasks.stores.workspace import Workspace

Pixels = NDArray[np.uint8]
Rng = np.random.Generator
Alter = Callable[[Image.Image, Rng], Image.Image]


def shifted(image: Image.Image, rng: Rng) -> Image.Image:
    """Moved by 3 to 12 % of its sides."""
    moved = Image.new("RGB", image.size)
    by = [round(rng.choice([-1, 1]) * rng.uniform(0.03, 0.12) * side) for side in image.size]
    moved.paste(image, (by[0], by[1]))
    return moved


def cropped(image: Image.Image, rng: Rng) -> Image.Image:
    """5 to 15 % of each side cut away."""
    (width, height), share = image.size, rng.uniform(0.85, 0.95)
    left, top = rng.uniform(0, 1 - share, 2)
    box = (left * width, top * height, (left + share) * width, (top + share) * height)
    return image.crop(tuple(map(int, box)))


def padded(image: Image.Image, rng: Rng) -> Image.Image:
    """Black margins of 5 to 12 %, half as wide above and below."""
    (width, height), margin = image.size, rng.uniform(0.05, 0.12)
    larger = Image.new("RGB", (int(width * (1 + 2 * margin)), int(height * (1 + margin))))
    larger.paste(image, (int(width * margin), int(height * margin / 2)))
    return larger


def scaled(image: Image.Image, rng: Rng) -> Image.Image:
    """Smaller by 30 to 60 %."""
    share = rng.uniform(0.4, 0.7)
    return image.resize((max(4, int(share * image.width)), max(4, int(share * image.height))))


def annotated(image: Image.Image, rng: Rng) -> Image.Image:
    """A bar and a ring."""
    marked, (width, height), x = image.copy(), image.size, rng.uniform(0, 0.6)
    draw = ImageDraw.Draw(marked)
    draw.rectangle((x * width, 0.02 * height, (x + 0.3) * width, 0.08 * height), fill=(255, 255, 255))
    ring = (0.4 * width, 0.4 * height, 0.6 * width, 0.6 * height)
    draw.ellipse(ring, outline=(255, 200, 60), width=max(1, width // 60))
    return marked


def recompressed(image: Image.Image, rng: Rng) -> Image.Image:
    """JPEG of quality 30 to 70."""
    data = io.BytesIO()
    image.save(data, "JPEG", quality=int(rng.integers(30, 70)))
    return Image.open(data).convert("RGB")


def brightened(image: Image.Image, rng: Rng) -> Image.Image:
    """Another gamma, 0.6 to 1.7."""
    return Image.fromarray((255 * (np.asarray(image) / 255) ** rng.uniform(0.6, 1.7)).astype(np.uint8))


ALTERATIONS: dict[str, Alter] = {
    one.__name__: one for one in (shifted, cropped, padded, scaled, annotated, recompressed, brightened)
}


def grey(values: NDArray[np.floating]) -> Pixels:
    """Grey levels (h, w) as RGB."""
    return np.repeat(values.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def digits(rng: Rng) -> Iterator[Pixels]:
    """Handwritten digits of 8 x 8 pixels."""
    from sklearn.datasets import load_digits

    images = load_digits().images
    for i in rng.choice(len(images), 600, replace=False):
        yield grey(images[i] * 15.9)


def patches(_: Rng) -> Iterator[Pixels]:
    """Colour patches of two photographs, 80 x 80 pixels, none over another."""
    from sklearn.datasets import load_sample_images

    for photograph in load_sample_images().images:
        for top in range(0, photograph.shape[0] - 79, 80):
            for left in range(0, photograph.shape[1] - 79, 80):
                yield photograph[top : top + 80, left : left + 80]


def cells(rng: Rng) -> Iterator[Pixels]:
    """Single cells of 50 x 50 pixels: a grey body with texture and a nucleus, much alike."""
    y, x = np.mgrid[:50, :50]
    for _ in range(300):
        (top, left), radius = 25 + rng.normal(0, 1.5, 2), 50 * rng.uniform(0.3, 0.4)
        away = np.hypot(y - top, x - left)
        body = 200 - 110 / (1 + np.exp((away - radius) / 1.2))
        inside = np.hypot(y - top - rng.normal(0, 3), x - left - rng.normal(0, 3)) - radius * rng.uniform(
            0.3, 0.6
        )
        texture = 25 * gaussian_filter(rng.normal(size=(50, 50)), 1.5) * (away < radius)
        yield grey(body + texture - 50 / (1 + np.exp(inside)) + rng.normal(0, 3, (50, 50)))


def noise(rng: Rng) -> Iterator[Pixels]:
    """Large pictures, 2000 x 2000 pixels, with detail of all sizes."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(512), np.fft.fftfreq(512)))
    frequency[0, 0] = 1
    for _ in range(40):
        drawn = np.fft.ifft2(np.fft.fft2(rng.normal(size=(512, 512))) / frequency).real
        levels = 255 * (drawn - drawn.min()) / np.ptp(drawn)
        yield np.asarray(Image.fromarray(grey(levels)).resize((2000, 2000), Image.Resampling.BICUBIC))


def demo(_: Rng) -> Iterator[Pixels]:
    """Slices of the demo's generator; the near copies that it plants count as false ones."""
    with tempfile.TemporaryDirectory(prefix="lightbox-kinds-") as folder:
        yield from of_folder(make_demo(Path(folder) / "demo", seed=3, n_no=90, n_yes=110).images)


def of_folder(folder: Path) -> Iterator[Pixels]:
    """The images below a folder, each content once."""
    for path in sorted(folder.rglob("*.*")):
        try:
            yield decode(path.read_bytes()).pixels
        except ImageRejected:
            continue


KINDS = {one.__name__: one for one in (digits, cells, patches, noise, demo)}


def found_among(pictures: list[Pixels]) -> FoundCopies:
    """What a catalogue would find, nothing being known of patients."""
    from tasks.training.embeddings import embed, embedding_preprocessing

    names = [f"{i:064x}" for i in range(len(pictures))]

    class Prepared:
        def take(self, sha256s: list[str]) -> Pixels:
            return np.stack([prepare(pictures[int(one, 16)], embedding_preprocessing()) for one in sha256s])

    contents = [
        Content(name, name, dhash(one).tobytes().hex(), side_px=min(one.shape[:2]))
        for name, one in zip(names, pictures, strict=True)
    ]
    with tempfile.TemporaryDirectory(prefix="lightbox-kinds-") as folder:
        features = embed(Workspace(folder), names, Prepared())
        return copies_among(contents, NearCopyRule(), features=features)


def measure(name: str, originals: list[Pixels], planted: int, rng: Rng) -> None:
    """Plant, find and print."""
    originals = list({one.tobytes(): one for one in originals}.values())
    n, kinds = len(originals), list(ALTERATIONS)
    source = rng.choice(n, min(planted, n), replace=False)
    altered = [
        np.asarray(ALTERATIONS[kinds[i % len(kinds)]](Image.fromarray(originals[row]), rng))
        for i, row in enumerate(source.tolist())
    ]
    found = found_among([*originals, *altered])
    groups = group_by_pairs(n + len(altered), found.pairs.joined)
    owner = np.concatenate([np.arange(n), source])
    mixed = [row for row in range(n) if len(np.unique(owner[groups == groups[row]])) > 1]
    recall = {
        kind: np.mean([groups[n + i] == groups[source[i]] for i in range(j, len(altered), len(kinds))])
        for j, kind in enumerate(kinds)
    }
    print(f"{name}: {n} images, {1000 * len(mixed) / n:.1f} per 1,000 in a group with another one; limit "
          f"{found.index.limits.agreement:.2f}; found of planted copies: "
          + ", ".join(f"{kind} {share:.2f}" for kind, share in recall.items()), flush=True)  # fmt: skip
    for a, b in found.pairs.joined.tolist():
        if owner[a] != owner[b]:
            print(f"    {owner[a]} = {owner[b]}")


def main() -> None:
    """Every kind that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", default=list(KINDS), help=f"{', '.join(KINDS)}, or folders")
    parser.add_argument("--planted", type=int, default=70, help="copies to plant in each")
    options = parser.parse_args()
    for kind in options.kinds:
        rng = np.random.default_rng(0)
        originals = list(KINDS[kind](rng) if kind in KINDS else of_folder(Path(kind)))
        measure(kind, originals, options.planted, rng)


if __name__ == "__main__":
    main()
