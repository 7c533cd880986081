"""A copy fits, however it was changed; another picture does not."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tasks.copies.alignment import SIDE, alignment, is_flat, thumbnail

Picture = NDArray[np.uint8]


def head(seed: int) -> Picture:
    """A bright ring with structure of its own inside, on black: what slices of heads have in common, and not."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 200, (14, 14), dtype=np.uint8))
    inside = np.asarray(coarse.resize((200, 200), Image.Resampling.BICUBIC))
    image = Image.new("L", (200, 200))
    draw = ImageDraw.Draw(image)
    draw.ellipse((25, 10, 175, 190), fill=230)
    mask = Image.new("L", (200, 200))
    ImageDraw.Draw(mask).ellipse((35, 20, 165, 180), fill=255)
    image.paste(Image.fromarray(inside), (0, 0), mask)
    return np.asarray(image.convert("RGB"))


def through(change: Callable[[Image.Image], Image.Image]) -> Callable[[Picture], Picture]:
    return lambda picture: np.asarray(change(Image.fromarray(picture)))


def shifted(image: Image.Image) -> Image.Image:
    moved = Image.new("RGB", image.size)
    moved.paste(image, (18, -12))
    return moved


def annotated(image: Image.Image) -> Image.Image:
    draw = ImageDraw.Draw(image)
    draw.rectangle((5, 5, 70, 18), fill=(255, 255, 255))
    draw.ellipse((80, 80, 120, 120), outline=(255, 60, 60), width=3)
    return image


def recompressed(image: Image.Image) -> Image.Image:
    data = io.BytesIO()
    image.resize((90, 90)).save(data, "JPEG", quality=40)
    return Image.open(data)


CHANGES = {
    "recompressed": through(recompressed),
    "shifted": through(shifted),
    "annotated": through(annotated),
    "stretched": through(lambda image: image.crop((20, 0, 180, 200)).resize((260, 200))),
    "cropped": through(lambda image: image.crop((24, 20, 190, 180))),
    "padded": through(
        lambda image: image.transform((250, 220), Image.Transform.EXTENT, (-25, -10, 225, 210))
    ),
    "turned": through(lambda image: image.rotate(5, Image.Resampling.BILINEAR)),
    "mirrored": through(lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "brightened": lambda picture: (255 * (picture / 255.0) ** 0.6).astype(np.uint8),
}


@pytest.mark.parametrize("change", CHANGES)
def test_copies_fit_and_others_do_not(change: str) -> None:
    n = 6
    pictures = [head(seed) for seed in range(n)]
    thumbnails = np.stack([thumbnail(one) for one in [*pictures, *map(CHANGES[change], pictures)]])
    assert thumbnails.shape == (2 * n, SIDE, SIDE)
    own = np.array([(i, n + i) for i in range(n)])
    other = np.array([(i, n + j) for i in range(n) for j in range(n) if i != j])
    assert alignment(thumbnails, own, enough=0.78).min() >= 0.78
    assert alignment(thumbnails, other, enough=0.78).max() < 0.78


def test_equal_pictures_fit_wholly_and_flat_ones_are_told_apart() -> None:
    thumbnails = np.stack([thumbnail(head(0)), thumbnail(head(0)), np.full((SIDE, SIDE), 90, np.uint8)])
    fit = alignment(thumbnails, np.array([[0, 1], [0, 2]]))
    assert fit[0] == pytest.approx(1, abs=1e-3)
    assert fit[1] == 0
    assert is_flat(thumbnails).tolist() == [False, False, True]
    assert alignment(thumbnails, np.empty((0, 2), dtype=np.int64)).shape == (0,)
