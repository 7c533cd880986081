"""A placement of one picture over another made exact, by Gauss-Newton steps on their fine structure.

S. Baker and I. Matthews, "Lucas-Kanade 20 Years On: A Unifying Framework", IJCV 2004: the forward additive algorithm
for affine maps, with Cauchy's weights, so that a mark drawn into one of the two does not pull.
"""

from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from tasks.copies.alignment import Placement

DETAIL_SIDE: Final = 128
"""Pixels of a side of the pictures that are registered and compared."""

_LEVELS: Final = ((64, 1, 8), (DETAIL_SIDE, 2, 4))
"""Side, stride of the pixels that count, and most steps."""

_SURROUNDINGS: Final = 1 / 16
_NOISE: Final = 4.0
_FINE_PX: Final = 1.0
_COARSE_PX: Final = 4.0
_RIDGE: Final = 1e-3
_STILL: Final = 0.02
_LEAST_OVERLAP: Final = 0.3

Floats = NDArray[np.float32]


class DetailPicture:
    """A picture uint8 (DETAIL_SIDE, DETAIL_SIDE) with what is computed of it once."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._pixels = pixels.astype(np.float32)

    @cached_property
    def fine(self) -> dict[int, tuple[Floats, Floats, Floats]]:
        """By side: the picture less its surroundings, by their contrast, and its slopes down and across."""
        half = self._pixels.reshape(DETAIL_SIDE // 2, 2, DETAIL_SIDE // 2, 2).mean((1, 3))
        return {
            side: _structure(one) for side, one in ((DETAIL_SIDE // 2, half), (DETAIL_SIDE, self._pixels))
        }

    @cached_property
    def detail(self) -> Floats:
        """What is between 1 and 4 pixels large."""
        fine = gaussian_filter(self._pixels, _FINE_PX, mode="nearest")
        return np.asarray(fine - gaussian_filter(self._pixels, _COARSE_PX, mode="nearest"), dtype=np.float32)


def registered(a: DetailPicture, b: DetailPicture, place: Placement) -> Placement:
    """The placement of `b` over `a` that the fit of their fine structure settles at."""
    matrix, offset = place.matrix, place.offset
    for side, stride, steps in _LEVELS:
        for _ in range(steps):
            change = _step(a.fine[side][0], b.fine[side], matrix, offset, stride)
            if change is None:
                return Placement(matrix, offset, place.fit)
            matrix, offset = matrix + change[:, :2], offset + change[:, 2]
            if np.abs(change).max() * side < _STILL:
                break
    return Placement(matrix, offset, place.fit)


def points(side: int, stride: int = 1) -> tuple[Floats, Floats]:
    """Centres of the pixels, (down, across) from the picture's centre in shares of the side."""
    axis = ((np.arange(0, side, stride) - (side - 1) / 2) / side).astype(np.float32)
    down, across = np.meshgrid(axis, axis, indexing="ij")
    return down, across


def moved(place: Placement, down: Floats, across: Floats, side: int) -> tuple[Floats, Floats]:
    """Where points lie in the other picture, in its pixels."""
    (a, b), (c, d) = place.matrix
    centre = (side - 1) / 2
    y = (a * down + b * across + place.offset[0]) * side + centre
    x = (c * down + d * across + place.offset[1]) * side + centre
    return np.asarray(y, dtype=np.float32), np.asarray(x, dtype=np.float32)


def sampled(pictures: tuple[Floats, ...], y: Floats, x: Floats) -> list[Floats]:
    """Pictures (s, s) at points in pixels, bilinear; beyond the margin its value."""
    side = len(pictures[0])
    y, x = np.clip(y, 0, side - 1), np.clip(x, 0, side - 1)
    top = np.minimum(y.astype(np.int32), side - 2)
    left = np.minimum(x.astype(np.int32), side - 2)
    down, across = y - top, x - left
    first = top * side + left
    found = []
    for picture in pictures:
        flat = picture.ravel()
        upper = flat[first] * (1 - across) + flat[first + 1] * across
        lower = flat[first + side] * (1 - across) + flat[first + side + 1] * across
        found.append(np.asarray(upper * (1 - down) + lower * down, dtype=np.float32))
    return found


def _step(
    a: Floats,
    b: tuple[Floats, Floats, Floats],
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    stride: int,
) -> NDArray[np.float64] | None:
    """What to add to matrix and offset, (2, 3); None where the two hardly overlap."""
    side = len(a)
    down, across = points(side, stride)
    y, x = moved(Placement(matrix, offset, 0.0), down, across, side)
    inside = (y >= 0) & (y <= side - 1) & (x >= 0) & (x <= side - 1)
    if inside.mean() < _LEAST_OVERLAP:
        return None
    value, slope_y, slope_x = sampled(b, y[inside], x[inside])
    missing = a[::stride, ::stride][inside] - value
    weight = 1 / (1 + missing**2)
    p, q = down[inside], across[inside]
    jacobian = side * np.stack([slope_y * p, slope_y * q, slope_y, slope_x * p, slope_x * q, slope_x])
    weighted = jacobian * weight
    hessian = (weighted @ jacobian.T).astype(np.float64)
    hessian += np.eye(6) * (_RIDGE * np.trace(hessian) / 6 + 1e-9)
    change = np.linalg.solve(hessian, (weighted @ missing).astype(np.float64))
    return np.asarray(change.reshape(2, 3))


def _structure(picture: Floats) -> tuple[Floats, Floats, Floats]:
    sigma = len(picture) * _SURROUNDINGS
    detail = picture - gaussian_filter(picture, sigma, mode="nearest")
    contrast = np.sqrt(gaussian_filter(detail**2, sigma, mode="nearest") + _NOISE**2)
    fine = np.asarray(detail / contrast, dtype=np.float32)
    down, across = np.gradient(fine)
    return fine, np.asarray(down, dtype=np.float32), np.asarray(across, dtype=np.float32)
