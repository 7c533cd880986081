"""A copy agrees, however it was changed; another picture does not, however alike it looks."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tasks.copies.agreement import agreement, detail_picture, lower_bound
from tasks.copies.registration import DETAIL_SIDE

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


LARGE = np.full(100, 200)


@pytest.mark.parametrize("change", CHANGES)
def test_copies_agree_and_others_do_not(change: str) -> None:
    n = 4
    pictures = [head(seed) for seed in range(n)]
    small = np.stack([detail_picture(one) for one in [*pictures, *map(CHANGES[change], pictures)]])
    assert small.shape == (2 * n, DETAIL_SIDE, DETAIL_SIDE)
    own = np.array([(i, n + i) for i in range(n)])
    other = np.array([(i, n + j) for i in range(n) for j in range(n) if i != j])
    assert agreement(small, LARGE, own).min() >= 0.65
    assert agreement(small, LARGE, other).max() < 0.6  # they share their skull


def cell(seed: int) -> Picture:
    """A grey blob with a nucleus, 50 pixels: what all cells of a set look like, with noise of its own."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:50, :50]
    body = np.hypot(x - 25 - rng.normal(), y - 25 - rng.normal()) < rng.uniform(16, 20)
    nucleus = np.hypot(x - 25 - rng.normal(), y - 25 - rng.normal()) < rng.uniform(7, 9)
    grey = 200 - 90.0 * body - 50 * nucleus + rng.normal(0, 6, (50, 50))
    return np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def test_what_looks_alike_as_a_whole_does_not_agree() -> None:
    small = np.stack([detail_picture(cell(seed)) for seed in range(12)])
    pairs = np.array([(i, j) for i in range(12) for j in range(i)])
    assert agreement(small, np.full(12, 50), pairs).max() < 0.4


def test_a_common_frame_is_no_evidence() -> None:
    """Margins fit one another in any two pictures."""
    framed = []
    for seed in range(6):
        picture = np.zeros((200, 200, 3), dtype=np.uint8)
        smooth = Image.fromarray(np.random.default_rng(seed).integers(90, 120, (3, 3), dtype=np.uint8))
        picture[25:175, 25:175] = np.asarray(smooth.resize((150, 150), Image.Resampling.BICUBIC))[..., None]
        framed.append(detail_picture(picture))
    pairs = np.array([(i, j) for i in range(6) for j in range(i)])
    assert agreement(np.stack(framed), LARGE, pairs).max() < 0.65


@pytest.mark.parametrize("side", [4, 8, 12])
def test_few_pixels_are_no_evidence_even_of_equal_pictures(side: int) -> None:
    rng = np.random.default_rng(side)
    tiny = Image.fromarray(rng.integers(0, 256, (side, side), dtype=np.uint8)).convert("RGB")
    small = np.stack([detail_picture(np.asarray(tiny))] * 2)
    pair = np.array([[0, 1]])
    assert agreement(small, np.full(2, side), pair)[0] == 0
    assert agreement(small, np.array([side, 1 << 16]), pair)[0] == 0


def test_equal_pictures_agree_as_far_as_there_is_detail() -> None:
    small = np.stack([detail_picture(head(0))] * 2 + [np.full((DETAIL_SIDE, DETAIL_SIDE), 90, np.uint8)] * 2)
    found = agreement(small, LARGE, np.array([[0, 1], [0, 2], [2, 3]]))
    assert found[0] > 0.75
    assert found[1:].tolist() == [0, 0]
    assert agreement(small, LARGE, np.empty((0, 2), dtype=np.int64)).shape == (0,)


@given(st.integers(0, 64), st.integers(0, 64))
def test_more_blocks_are_more_evidence(agreeing: int, others: int) -> None:
    bound = lower_bound(agreeing, agreeing + others)
    assert 0 <= bound <= agreeing / max(1, agreeing + others)
    assert bound <= lower_bound(2 * agreeing, 2 * (agreeing + others)) + 1e-12
    assert bound <= lower_bound(agreeing + 1, agreeing + others + 1)
