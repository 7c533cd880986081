"""Small changes of pictures: each changes them, a little, and gives pixels again."""

import numpy as np
import pytest
from support.samples.disc_pictures import picture

from tasks.images.perturb import PERTURBATIONS


@pytest.mark.parametrize("name", sorted(PERTURBATIONS))
def test_a_change_gives_pixels_that_are_close_and_not_the_same(name: str) -> None:
    pixels = np.ascontiguousarray(picture(1, True))
    pixels = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
    before = pixels.copy()
    changed = PERTURBATIONS[name](pixels)
    assert changed.dtype == np.uint8 and changed.ndim == 3 and changed.shape[2] == 3
    assert np.array_equal(pixels, before), "the picture itself stays"
    if changed.shape == pixels.shape:
        difference = np.abs(changed.astype(int) - pixels.astype(int))
        assert 0 < difference.mean() < 40
    else:
        assert "cut off" in name
        assert changed.shape[0] == pixels.shape[0] - 2 * (pixels.shape[0] // 20)


@pytest.mark.parametrize("name", sorted(PERTURBATIONS))
def test_tiny_and_extreme_pictures_are_borne(name: str) -> None:
    for value in (0, 255):
        assert PERTURBATIONS[name](np.full((8, 11, 3), value, dtype=np.uint8)).size > 0
