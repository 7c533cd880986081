"""How long it takes to find the copies among 100,000 contents, how much memory, and what is missed.

Real pictures of that number cannot be had on any machine, so contents are made: slices of the demo's generator are
drawn, then mixed two by two through random soft masks into as many different pictures as asked for. Copies are planted
by altering pictures as people do. Hashes and small pictures are computed of them. Deep features are drawn: each
content's from its two slices' real features and from the covariance of all, a copy's at a cosine from its original that
was measured for its kind of alteration on 50 real brain MR slices (`KINDS`).

    python benchmarks/copies.py                  # 100,000 contents
    python benchmarks/copies.py --contents 9000  # exact, as every smaller set
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tasks.copies.content import Content
from tasks.copies.duplicates import dhash, group_by_pairs
from tasks.copies.feature_scale import ContentFeatures, FeatureScale
from tasks.copies.near_copies import CopyIndex, find_copies
from tasks.copies.registration import DETAIL_SIDE
from tasks.copies.settings import NearCopyRule
from tasks.copies.similarity import EXACT_PAIRS, KEPT_OF_MANY, Vectors, similar_pairs
from tasks.demo.data_set import make_demo
from tasks.images.decode import decode, prepare
from tasks.images.reject_reasons import ImageRejected
from tasks.stores.workspace import Workspace

LARGE = DETAIL_SIDE
Picture = NDArray[np.uint8]
Rng = np.random.Generator


@dataclass(frozen=True)
class Kind:
    """An alteration, and the cosine of deep features that it leaves: 5, 25, 50, 75 and 95 % quantiles."""

    alter: Callable[[Image.Image, Rng], Image.Image]
    cosine: tuple[float, float, float, float, float]


def shifted(image: Image.Image, rng: Rng) -> Image.Image:
    """Moved by 3 to 12 % of its side both ways."""
    by = [int(rng.choice([-1, 1]) * rng.uniform(0.03, 0.12) * LARGE) for _ in range(2)]
    moved = Image.new("L", image.size)
    moved.paste(image, (by[0], by[1]))
    return moved


def cropped(image: Image.Image, rng: Rng) -> Image.Image:
    """5 to 15 % of the side cut away."""
    side = rng.uniform(0.85, 0.95) * LARGE
    left, top = rng.uniform(0, LARGE - side, 2)
    return image.resize(image.size, Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))


def padded(image: Image.Image, rng: Rng) -> Image.Image:
    """Black margins of 5 to 12 %."""
    margin = rng.uniform(0.05, 0.12) * LARGE
    corners = (-margin, -margin / 2, LARGE + margin, LARGE + margin / 2)
    return image.transform(image.size, Image.Transform.EXTENT, corners, Image.Resampling.BILINEAR)


def annotated(image: Image.Image, rng: Rng) -> Image.Image:
    """A bar of text and a circle."""
    draw, x = ImageDraw.Draw(image), rng.uniform(0, 0.6) * LARGE
    draw.rectangle((x, 2, x + 0.3 * LARGE, 8), fill=255)
    draw.ellipse((0.4 * LARGE, 0.4 * LARGE, 0.6 * LARGE, 0.6 * LARGE), outline=200, width=2)
    return image


def rescaled(image: Image.Image, rng: Rng) -> Image.Image:
    """Made smaller by 30 to 60 %, and large again."""
    side = int(rng.uniform(0.4, 0.7) * LARGE)
    return image.resize((side, side)).resize(image.size)


def noisy(image: Image.Image, rng: Rng) -> Image.Image:
    """As strong recompression leaves it."""
    return Image.fromarray(np.clip(np.asarray(image) + rng.normal(0, 8, image.size), 0, 255).astype(np.uint8))


def brightened(image: Image.Image, rng: Rng) -> Image.Image:
    """Another gamma, 0.6 to 1.7."""
    return Image.fromarray((255 * (np.asarray(image) / 255) ** rng.uniform(0.6, 1.7)).astype(np.uint8))


KINDS = {
    "recompressed": Kind(noisy, (0.57, 0.74, 0.85, 0.92, 0.99)),
    "rescaled": Kind(rescaled, (0.38, 0.48, 0.61, 0.85, 0.99)),
    "shifted": Kind(shifted, (0.41, 0.61, 0.68, 0.75, 0.82)),
    "cropped": Kind(cropped, (0.42, 0.59, 0.66, 0.72, 0.81)),
    "padded": Kind(padded, (0.38, 0.56, 0.64, 0.72, 0.78)),
    "annotated": Kind(annotated, (0.15, 0.23, 0.29, 0.39, 0.63)),
    "brightened": Kind(brightened, (0.66, 0.76, 0.85, 0.89, 0.95)),
}


class Slices:
    """Slices of the demo's generator: pictures (n, LARGE, LARGE) grey, and their real features on their own scale."""

    def __init__(self, n: int) -> None:
        from tasks.training.embeddings import embed, embedding_preprocessing

        with tempfile.TemporaryDirectory(prefix="lightbox-copies-") as folder:
            made = make_demo(Path(folder) / "demo", seed=3, n_no=n * 2 // 5, n_yes=n - n * 2 // 5)
            squashed: dict[str, Picture] = {}
            for path in sorted(made.images.rglob("*.*")):
                try:
                    pixels = decode(path.read_bytes()).pixels
                except ImageRejected:
                    continue
                squashed.setdefault(dhash(pixels).tobytes().hex(), prepare(pixels, embedding_preprocessing()))

            class Pictures:
                def take(self, sha256s: Sequence[str]) -> Picture:
                    return np.stack([squashed[sha256] for sha256 in sha256s])

            found = embed(Workspace(f"{folder}/workspace"), sorted(squashed), Pictures())
        self.features = FeatureScale.of(found.values).unit(np.asarray(found.values))
        grey = (Image.fromarray(squashed[name]).convert("L") for name in sorted(squashed))
        self.pictures = np.stack([np.asarray(one.resize((LARGE, LARGE))) for one in grey])


class Contents:
    """Different pictures, and `planted` copies of some of them: (original, copy, kind)."""

    def __init__(self, slices: Slices, n: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        copies = n // 20
        originals = n - copies
        self.small = np.empty((n, DETAIL_SIDE, DETAIL_SIDE), dtype=np.uint8)
        self.features = np.empty((n, slices.features.shape[1]), dtype=np.float16)
        self.hashes = np.empty((n, 32), dtype=np.uint8)
        self.planted: list[tuple[int, int, str]] = []
        self._spread = slices.features - slices.features.mean(axis=0)
        copied = set(rng.choice(originals, size=copies, replace=False).tolist())
        next_copy = originals
        for i in range(originals):
            picture, feature = self._mixed(slices, rng)
            self._put(i, picture, feature)
            if i in copied:
                kind = list(KINDS)[next_copy % len(KINDS)]
                copy = KINDS[kind].alter(picture.copy(), rng)
                self._put(next_copy, copy, self._near(feature, KINDS[kind].cosine, rng))
                self.planted.append((i, next_copy, kind))
                next_copy += 1
        # Digests that ascend with the place, so that a place here is a place in the index of copies.
        self.sha256s = tuple(f"{i:064x}" for i in range(n))

    def _mixed(self, slices: Slices, rng: Rng) -> tuple[Image.Image, NDArray[np.float32]]:
        a, b = rng.choice(len(slices.pictures), size=2, replace=False)
        coarse = Image.fromarray(rng.integers(0, 256, (3, 3), dtype=np.uint8))
        mask = coarse.resize((LARGE, LARGE), Image.Resampling.BICUBIC)
        one, other = (
            Image.fromarray(slices.pictures[i]).rotate(rng.uniform(-30, 30), Image.Resampling.BILINEAR)
            for i in (a, b)
        )
        stretch = rng.uniform(-0.08, 0.08, 4) * LARGE
        corners = (stretch[0], stretch[1], LARGE + stretch[2], LARGE + stretch[3])
        mixed = Image.composite(one, other, mask).transform(
            one.size, Image.Transform.EXTENT, tuple(corners), Image.Resampling.BILINEAR
        )
        share = rng.uniform(0, 0.75)
        own = self._random(rng)
        return mixed, self._unit(
            share * self._unit(slices.features[a] + slices.features[b]) + (1 - share) * own
        )

    def _random(self, rng: Rng) -> NDArray[np.float32]:
        """With the covariance of the real ones."""
        return self._unit(rng.normal(size=len(self._spread)).astype(np.float32) @ self._spread)

    def _near(
        self, feature: NDArray[np.float32], quantiles: Sequence[float], rng: Rng
    ) -> NDArray[np.float32]:
        cosine = float(np.interp(rng.uniform(0.02, 0.98), [0.05, 0.25, 0.5, 0.75, 0.95], quantiles))
        other = self._random(rng)
        across = self._unit(other - (other @ feature) * feature)
        return self._unit(cosine * feature + (1 - cosine**2) ** 0.5 * across)

    def _put(self, i: int, picture: Image.Image, feature: NDArray[np.float32]) -> None:
        self.small[i] = np.asarray(picture)
        self.hashes[i] = dhash(np.asarray(picture.convert("RGB")))
        self.features[i] = feature

    @staticmethod
    def _unit(vector: NDArray[np.floating]) -> NDArray[np.float32]:
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)

    def known(self) -> ContentFeatures:
        """What is known of the contents when copies are looked for."""

        def pictures(sha256s: Sequence[str]) -> Picture:
            return self.small[[int(sha256, 16) for sha256 in sha256s]]

        return ContentFeatures(self.sha256s, self.features, pictures, "drawn")

    def contents(self) -> list[Content]:
        """The contents, each of a picture of its own."""
        return [
            Content(sha256, sha256, hashed.tobytes().hex())
            for sha256, hashed in zip(self.sha256s, self.hashes, strict=True)
        ]


def peak_gb() -> float:
    """The most memory that this process held so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def report(made: Contents, found: CopyIndex) -> None:
    """Print how many planted copies were found, and how many pairs are true."""
    pairs = {(a, b) for a, b in found.pairs.tolist()}
    groups = group_by_pairs(len(made.sha256s), found.pairs)
    by_kind: dict[str, list[bool]] = {}
    for original, copy, kind in made.planted:
        by_kind.setdefault(kind, []).append(bool(groups[original] == groups[copy]))
    hits = [hit for kind in by_kind.values() for hit in kind]
    planted = {(original, copy) for original, copy, _ in made.planted}
    print(f"recall of planted copies {np.mean(hits):.4f} of {len(hits)}: "
          + ", ".join(f"{kind} {np.mean(some):.3f}" for kind, some in by_kind.items()))  # fmt: skip
    print(f"precision of pairs {len(pairs & planted) / max(1, len(pairs)):.4f} of {len(pairs)}; "
          f"largest group {np.bincount(groups).max()}")  # fmt: skip


def compare_with_exact(made: Contents, subset: int) -> None:
    """Candidates by features among the first `subset` contents: cells against all pairs."""
    unit = FeatureScale.of(made.features).unit(made.features[:subset])
    vectors = Vectors(subset, lambda rows: unit[rows])
    least = NearCopyRule().min_feature_cosine
    seconds, found = [], []
    for exact_pairs in (0, subset**2):
        started = time.perf_counter()
        pairs = similar_pairs(vectors, least, exact_pairs=exact_pairs, kept=KEPT_OF_MANY)
        found.append({(a, b) for a, b in pairs.tolist()})
        seconds.append(time.perf_counter() - started)
    near = {pair for pair in found[1] if unit[pair[0]] @ unit[pair[1]] >= 0.6}
    n = len(made.sha256s)
    print(f"feature candidates among {subset}: cells {seconds[0]:.1f} s, all pairs {seconds[1]:.1f} s "
          f"(ratio {seconds[1] / seconds[0]:.1f}); of all pairs with cosine from 0.6 on the cells found "
          f"{len(near & found[0]) / max(1, len(near)):.4f} of {len(near)}")  # fmt: skip
    print(f"all pairs among {n}, extrapolated by the square: {seconds[1] * (n / subset) ** 2:.0f} s")


def main() -> None:
    """Draw, search, and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--contents", type=int, default=100_000)
    parser.add_argument("--slices", type=int, default=400, help="slices to draw and mix")
    parser.add_argument("--subset", type=int, default=12_000, help="contents to compare with all pairs")
    parser.add_argument("--grown", type=int, default=1_000, help="contents that a retrain adds")
    options = parser.parse_args()
    started = time.perf_counter()
    made = Contents(Slices(options.slices), options.contents)
    contents, features = made.contents(), made.known()
    print(f"made {len(contents)} contents in {time.perf_counter() - started:.0f} s, peak {peak_gb():.2f} GB "
          f"({'all pairs' if len(contents) ** 2 <= EXACT_PAIRS else 'cells'})")  # fmt: skip
    scale = FeatureScale.of(made.features)
    started = time.perf_counter()
    candidates: list[int] = []
    found = find_copies(
        contents,
        NearCopyRule(),
        features=features,
        scale=scale,
        progress=lambda *told: candidates.append(told[0]),
    )
    print(f"{candidates[-1]} candidates compared")
    print(f"searched in {time.perf_counter() - started:.1f} s, peak {peak_gb():.2f} GB")
    report(made, found)
    before = find_known(found, len(contents) - options.grown)
    started = time.perf_counter()
    find_copies(contents, NearCopyRule(), features=features, scale=scale, known=before)
    print(f"{options.grown} more contents: {time.perf_counter() - started:.1f} s")
    compare_with_exact(made, min(options.subset, len(contents)))


def find_known(found: CopyIndex, n: int) -> CopyIndex:
    """What was known when only the first n contents were there."""
    kept = (found.pairs < n).all(axis=1)
    return CopyIndex(
        found.sha256s[:n],
        found.with_features[:n],
        found.pairs[kept],
        found.hash_distance[kept],
        found.cosine[kept],
        found.agreement[kept],
        found.limits,
        n,
    )


if __name__ == "__main__":
    main()
