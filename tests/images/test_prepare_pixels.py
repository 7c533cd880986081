"""From decoded pixels to the fixed square: where the content stands, and how it is fitted."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasks.images.content_box import content_box
from tasks.images.decode import decode, prepare
from tasks.images.settings import Preprocessing


def head(width: int, height: int, box: tuple[int, int, int, int], level: int = 130) -> NDArray[np.uint8]:
    """A bright ellipse with texture inside `box` on black."""
    left, top, right, bottom = box
    y, x = np.mgrid[0:height, 0:width]
    radius_x, radius_y = (right - left) / 2, (bottom - top) / 2
    inside = ((x - left - radius_x) / radius_x) ** 2 + ((y - top - radius_y) / radius_y) ** 2 <= 1
    texture = level + 40 * np.sin(x / 5) * np.cos(y / 7)
    return np.repeat(np.where(inside, texture, 0).astype(np.uint8)[..., None], 3, axis=2)


HEAD_BOX = (120, 80, 280, 300)


def assert_boxes_head(pixels: NDArray[np.uint8], tolerance: int = 14) -> None:
    found = content_box(pixels)
    assert max(abs(a - b) for a, b in zip(found, HEAD_BOX, strict=True)) <= tolerance, found


def test_content_box_on_black() -> None:
    assert_boxes_head(head(400, 400, HEAD_BOX))


def test_content_box_in_spite_of_noise() -> None:
    rng = np.random.default_rng(0)
    pixels = head(400, 400, HEAD_BOX)
    pixels = np.maximum(pixels, rng.integers(0, 12, pixels.shape[:2], dtype=np.uint8)[..., None])
    salt = rng.random(pixels.shape[:2]) < 0.002
    pixels[salt] = 255
    assert_boxes_head(pixels)


def test_content_box_in_spite_of_a_white_frame_and_lines() -> None:
    pixels = head(400, 400, HEAD_BOX)
    pixels[4:7], pixels[-7:-4], pixels[:, 4:7], pixels[:, -7:-4] = 255, 255, 255, 255
    assert_boxes_head(pixels)
    pixels = head(400, 400, HEAD_BOX)
    pixels[:, 395:397] = 255
    assert_boxes_head(pixels)


def test_content_box_in_spite_of_a_white_page() -> None:
    page = np.full((500, 640, 3), 255, dtype=np.uint8)
    page[50:450, 120:520] = head(400, 400, HEAD_BOX)
    left, top, right, bottom = content_box(page)
    assert max(abs(left - 240), abs(top - 130), abs(right - 400), abs(bottom - 350)) <= 16


def test_content_box_in_spite_of_letters_in_the_corners() -> None:
    pixels = head(400, 400, HEAD_BOX)
    for row in range(10, 60, 14):
        for column in range(8, 80, 9):
            pixels[row : row + 9, column : column + 2] = 240
            pixels[row : row + 2, column : column + 6] = 240
    pixels[370:385, 380:392] = 255
    assert_boxes_head(pixels)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((100, 120, 3), dtype=np.uint8),
        np.full((100, 120, 3), 255, dtype=np.uint8),
        np.full((16, 16, 3), 7, dtype=np.uint8),
        np.repeat(np.random.default_rng(1).integers(90, 160, (90, 70, 1), dtype=np.uint8), 3, axis=2),
        np.full((1, 1, 3), 9, dtype=np.uint8),
    ],
    ids=["black", "white", "small", "noise", "one pixel"],
)
def test_without_content_the_whole_picture_is_kept(pixels: NDArray[np.uint8]) -> None:
    assert content_box(pixels) == (0, 0, pixels.shape[1], pixels.shape[0])


def test_a_speck_is_not_taken_for_the_content() -> None:
    pixels = np.zeros((400, 400, 3), dtype=np.uint8)
    pixels[200:212, 200:212] = 250
    assert content_box(pixels) == (0, 0, 400, 400)


def test_brain_mri_boxes_keep_the_head(brain_mri: Path) -> None:
    whole = 0
    for path in [*sorted(brain_mri.glob("no/*")), *sorted(brain_mri.glob("yes/*"))]:
        pixels = decode(path.read_bytes()).pixels
        left, top, right, bottom = content_box(pixels)
        kept = pixels[top:bottom, left:right]
        assert kept.shape[0] >= pixels.shape[0] / 5
        assert kept.shape[1] >= pixels.shape[1] / 5
        # The middle of every slice in the set shows tissue.
        assert np.percentile(kept, 90) > 30
        whole += kept.shape == pixels.shape
    assert whole < 50


@given(
    width=st.integers(16, 300),
    height=st.integers(16, 300),
    size_px=st.integers(32, 96),
    fit=st.sampled_from(["letterbox", "squash", "center_crop"]),
    crop=st.booleans(),
    seed=st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_prepared_images_are_square_contiguous_rgb(
    *,
    width: int,
    height: int,
    size_px: int,
    fit: Literal["letterbox", "squash", "center_crop"],
    crop: bool,
    seed: int,
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    prepared = prepare(pixels, Preprocessing(size_px=size_px, fit=fit, crop_to_content=crop))
    assert prepared.shape == (size_px, size_px, 3)
    assert prepared.dtype == np.uint8
    assert prepared.flags.c_contiguous
    assert prepared.flags.writeable


def test_letterbox_keeps_everything_and_pads_with_black() -> None:
    prepared = prepare(
        np.full((50, 100, 3), 200, dtype=np.uint8), Preprocessing(size_px=64, crop_to_content=False)
    )
    assert (prepared[:16] == 0).all()
    assert (prepared[16:48] == 200).all()
    assert (prepared[48:] == 0).all()


def test_center_crop_and_squash() -> None:
    pixels = np.zeros((50, 150, 3), dtype=np.uint8)
    pixels[:, :50, 0], pixels[:, 50:100, 1], pixels[:, 100:, 2] = 255, 255, 255
    middle = prepare(pixels, Preprocessing(size_px=32, fit="center_crop", crop_to_content=False))
    assert (middle[:, 1:-1] == [0, 255, 0]).all()
    squashed = prepare(pixels, Preprocessing(size_px=48, fit="squash", crop_to_content=False))
    assert squashed[20, 4].tolist() == [255, 0, 0]
    assert squashed[20, 44].tolist() == [0, 0, 255]


def test_a_strip_can_be_prepared() -> None:
    strip = np.full((16, 6000, 3), 90, dtype=np.uint8)
    for fit in ("letterbox", "squash", "center_crop"):
        assert prepare(strip, Preprocessing.model_validate({"size_px": 64, "fit": fit})).shape == (64, 64, 3)
