"""Random views depend on their image, seed and number alone, and do what their names say."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tasks.training.augment import training_views, uniforms, view_keys
from tasks.training.transforms import ColorJitter, RandomAffine, RandomResizedCrop, RandomTransforms

SHA256S = [f"{i:064x}"[::-1] for i in range(1, 9)]
OFF = {"random_horizontal_flip": 0.0}
EVERYTHING = RandomTransforms(
    color_jitter=ColorJitter(saturation=0.3),
    random_resized_crop=RandomResizedCrop(),
    random_crop=0.9,
    random_vertical_flip=0.5,
    random_rotation=30,
    random_affine=RandomAffine(translate=0.1, scale=(0.8, 1.2), shear_degrees=5),
    random_grayscale=0.5,
    random_perspective=0.5,
    random_erasing=0.5,
)


def images(n: int = 8, side: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, side, side, 3), dtype=torch.uint8, generator=generator)


def planes(pixels: Tensor) -> Tensor:
    return pixels.permute(0, 3, 1, 2).float()


def views(pixels: Tensor, transforms: RandomTransforms, view: int = 0, seed: int = 0) -> Tensor:
    return training_views(pixels, view_keys(SHA256S[: len(pixels)], seed, view), transforms)


def test_a_view_depends_on_nothing_but_its_image_seed_and_number() -> None:
    pixels = images()
    together = views(pixels, EVERYTHING)
    backwards = training_views(pixels.flip(0), view_keys(SHA256S[::-1], 0, 0), EVERYTHING).flip(0)
    alone = training_views(pixels[3:4], view_keys(SHA256S[3:4], 0, 0), EVERYTHING)
    torch.testing.assert_close(together, backwards, atol=1e-3, rtol=0)
    torch.testing.assert_close(together[3:4], alone, atol=1e-3, rtol=0)
    assert not torch.allclose(together, views(pixels, EVERYTHING, view=1))
    assert not torch.allclose(together, views(pixels, EVERYTHING, seed=1))


def test_without_operations_a_view_is_the_image() -> None:
    pixels = images()
    assert RandomTransforms(**OFF).off
    assert torch.equal(views(pixels, RandomTransforms(**OFF)), planes(pixels))


@pytest.mark.parametrize(("name", "axis"), [("random_horizontal_flip", 3), ("random_vertical_flip", 2)])
def test_flips_are_exact(name: str, axis: int) -> None:
    pixels = images()
    flipped = views(pixels, RandomTransforms(**{**OFF, name: 1.0}))
    torch.testing.assert_close(flipped, planes(pixels).flip(axis), atol=1e-2, rtol=0)


def test_the_default_is_the_designers_flip_of_every_other_image() -> None:
    pixels = images()
    seen = torch.stack([views(pixels, RandomTransforms(), view=view) for view in range(40)])
    flipped = (seen - planes(pixels).flip(3)).abs().amax((2, 3, 4)) < 0.01
    kept = (seen - planes(pixels)).abs().amax((2, 3, 4)) < 0.01
    assert bool((flipped ^ kept).all())
    assert 0.4 < float(flipped.float().mean()) < 0.6


@pytest.mark.parametrize(
    "transforms",
    [
        RandomTransforms(random_resized_crop=RandomResizedCrop()),
        RandomTransforms(random_crop=0.5),
        RandomTransforms(random_perspective=1.0),
    ],
)
def test_a_crop_shows_only_what_is_inside(transforms: RandomTransforms) -> None:
    white = torch.full((8, 32, 32, 3), 255, dtype=torch.uint8)
    inner = views(white, transforms)[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(inner, torch.full_like(inner, 255.0), atol=1e-2, rtol=0)


def test_a_rotation_turns_about_the_centre_and_leaves_black_corners() -> None:
    white = torch.full((8, 33, 33, 3), 255, dtype=torch.uint8)
    turned = views(white, RandomTransforms(random_rotation=180, **OFF))
    y, x = np.mgrid[:33, :33] - 16
    disc = torch.from_numpy(x**2 + y**2 < 15**2)
    torch.testing.assert_close(
        turned[:, :, disc], torch.full_like(turned[:, :, disc], 255.0), atol=0.1, rtol=0
    )
    assert float(turned[:, :, 0, 0].mean()) < 200


def test_a_zoom_of_two_shows_the_middle_at_twice_its_size() -> None:
    pixels = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    pixels[:, 8:24, 8:24] = 255
    zoom = RandomAffine(degrees=0, scale=(2.0, 2.0))
    seen = views(pixels, RandomTransforms(random_affine=zoom, **OFF))
    assert float(seen[:, :, 1:-1, 1:-1].min()) == pytest.approx(255, abs=0.1)


def test_a_shift_moves_the_picture_by_its_fraction_at_most() -> None:
    pixels = torch.zeros(8, 64, 64, 3, dtype=torch.uint8)
    pixels[:, 32, 32] = 255
    shift = RandomAffine(degrees=0, translate=0.25)
    seen = views(pixels, RandomTransforms(random_affine=shift, **OFF)).amax(1).flatten(1)
    places = seen.argmax(1)
    moved = torch.stack((places // 64 - 32, places % 64 - 32)).abs()
    assert 4 < int(moved.max()) <= 17


def test_erasing_blackens_a_box_of_the_stated_area() -> None:
    white = torch.full((8, 64, 64, 3), 255, dtype=torch.uint8)
    share = (views(white, RandomTransforms(random_erasing=1.0, **OFF)) == 0).float().mean((1, 2, 3))
    assert float(share.min()) > 0.01
    assert float(share.max()) < 0.35


def test_grey_has_equal_channels_and_jitter_stays_in_range() -> None:
    pixels = images()
    grey = views(pixels, RandomTransforms(random_grayscale=1.0, **OFF))
    assert torch.equal(grey[:, 0], grey[:, 1])
    strong = ColorJitter(brightness=1, contrast=1, saturation=1)
    jittered = views(pixels, RandomTransforms(color_jitter=strong, **OFF))
    assert float(jittered.min()) >= 0
    assert float(jittered.max()) <= 255
    assert not torch.allclose(jittered, planes(pixels), atol=5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(-1, 1000))
def test_drawn_numbers_are_uniform_and_streams_differ(seed: int, view: int) -> None:
    keys = view_keys([hashlib.sha256(bytes([i])).hexdigest() for i in range(64)], seed, view)
    drawn = uniforms(keys, 64)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert abs(drawn.mean() - 0.5) < 0.03
    assert len(np.unique(drawn)) == drawn.size
    assert np.abs(np.corrcoef(drawn) - np.eye(len(drawn))).max() < 0.7
