"""How one picture may lie over another, shifted, stretched, turned or mirrored: thumbnails laid over one another.

What is compared is fine structure: each thumbnail less its surroundings, by normalised cross-correlation over shifts
(J. P. Lewis, "Fast Normalized Cross-Correlation", 1995: products and energies of the overlap by FFT) at many scales,
first coarsely, then near the best coarse fit. This only finds the place: two X-rays or cells that are
no copies fit as well. Whether pictures are one is told by `agreement`, from that place on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import fft
from scipy.ndimage import gaussian_filter

SIDE: Final = 48
"""Pixels of a thumbnail's side."""

_COARSE_SIDE: Final = 16
_COARSE_LIKENESS: Final = 0.5
_LEAST_FIT: Final = 0.5
_FINER: Final = 0.5
_TURN: Final = 4.0
_SURROUNDINGS_PX: Final = 3.0
_NOISE: Final = 5.0
_STEP: Final = 1.12
_LEAST_OVERLAP: Final = 0.5

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class _Way:
    """How a picture is laid over another: scales as powers of `_STEP`, degrees of turn, and whether mirrored."""

    down: float = 0.0
    across: float = 0.0
    turn: float = 0.0
    mirrored: bool = False


_COARSE_WAYS: Final = tuple(
    _Way(down, across, mirrored=mirrored)
    for mirrored in (False, True)
    for down in range(-3, 4)
    for across in range(-3, 4)
    if abs(down - across) <= 1
)


@dataclass(frozen=True)
class Placement:
    """Where a picture lies over another: p of the first is `matrix @ p + offset` of the second.

    Points are (down, across) from the centre, in shares of the side; `fit` is the normalised cross-correlation, 0..1.
    """

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    fit: float


def thumbnails_of(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Square grey pictures uint8 (n, s, s) made smaller: uint8 (n, SIDE, SIDE)."""
    small = [Image.fromarray(one).resize((SIDE, SIDE), Image.Resampling.BILINEAR) for one in pictures]
    return np.stack([np.asarray(one) for one in small]) if small else np.empty((0, SIDE, SIDE), np.uint8)


def placements(
    thumbnails: NDArray[np.uint8], pairs: NDArray[np.int64], mirrored: NDArray[np.bool_]
) -> list[list[Placement]]:
    """For each pair the places worth a closer look, the likeliest first: at most one straight and one mirrored.

    `thumbnails` is uint8 (n, SIDE, SIDE), `pairs` int64 (m, 2) of rows. Tried are scales from 0.7 to 1.44, nearly the
    same in both directions, turns of 4 degrees, mirroring (where `mirrored`, bool (m,)), and shifts up to a quarter
    of the side, with at least half of the picture in common.
    """
    fine = _fine_structure(thumbnails)
    coarse = fine.reshape(-1, _COARSE_SIDE, SIDE // _COARSE_SIDE, _COARSE_SIDE, SIDE // _COARSE_SIDE).mean(
        (2, 4)
    )
    a, b = pairs.T
    straight = len(_COARSE_WAYS) // 2
    likeness = np.zeros((len(pairs), 2 * straight), dtype=np.float32)
    ways = _COARSE_WAYS[:straight]
    likeness[:, :straight] = _correlations(coarse[a], _laid(coarse[b], ways), ways)[0]
    if mirrored.any():
        ways, some = _COARSE_WAYS[straight:], np.flatnonzero(mirrored)
        likeness[some, straight:] = _correlations(coarse[a[some]], _laid(coarse[b[some]], ways), ways)[0]
    found: list[list[Placement]] = []
    for i, likely in enumerate(likeness):
        starts = [int(likely[:straight].argmax()), straight + int(likely[straight:].argmax())]
        starts = sorted(
            (start for start in starts if likely[start] >= _COARSE_LIKENESS), key=lambda s: -likely[s]
        )
        tried = (_refined(fine[a[i]], fine[b[i]], _COARSE_WAYS[start]) for start in starts)
        found.append([place for place in tried if place.fit >= _LEAST_FIT])
    return found


def _refined(a: Floats, b: Floats, coarse: _Way) -> Placement:
    """The best fit near a coarse one."""
    ways = [
        replace(coarse, down=coarse.down + down, across=coarse.across + across)
        for down in (-_FINER, 0, _FINER)
        for across in (-_FINER, 0, _FINER)
    ]
    ways += [replace(coarse, turn=-_TURN), replace(coarse, turn=_TURN)]
    fits, shifts = _correlations(a[None], _laid(b[None], ways), ways)
    i = int(fits[0].argmax())
    matrix = _matrix(ways[i])
    return Placement(matrix, -matrix @ shifts[0, i] / SIDE, float(fits[0, i]))


def _matrix(way: _Way) -> NDArray[np.float64]:
    """What `_sampling` does to a point (down, across) from the centre."""
    cos, sin = math.cos(math.radians(way.turn)), math.sin(math.radians(way.turn))
    sign = -1 if way.mirrored else 1
    down, across = _STEP**way.down, _STEP**way.across
    return np.array([[cos / down, -sin / down], [sign * sin / across, sign * cos / across]])


def _fine_structure(thumbnails: NDArray[np.uint8]) -> Floats:
    """Each pixel less its surroundings, by their local contrast: float32, of the same shape."""
    grey = thumbnails.astype(np.float32)
    sigma = (0, _SURROUNDINGS_PX, _SURROUNDINGS_PX)
    detail = grey - gaussian_filter(grey, sigma, mode="nearest")
    contrast = np.sqrt(gaussian_filter(detail**2, sigma, mode="nearest") + _NOISE**2)
    return np.asarray(detail / contrast, dtype=np.float32)


def _laid(pictures: Floats, ways: Sequence[_Way]) -> Floats:
    """(m, s, s) laid in each of k ways: (m, k, s, s), 0 where the picture does not reach."""
    side = pictures.shape[-1]
    flat = pictures.reshape(len(pictures), side * side)
    return np.stack([_placed(flat, side, way) for way in ways], axis=1)


def _placed(flat: Floats, side: int, way: _Way) -> Floats:
    corners, weights = _sampling(side, way)
    return np.asarray((flat[:, corners] * weights).sum(axis=1).reshape(-1, side, side), dtype=np.float32)


@lru_cache(maxsize=4096)
def _sampling(side: int, way: _Way) -> tuple[NDArray[np.int64], Floats]:
    """Bilinear sampling about the centre: indices and weights (4, side * side) of a flattened picture."""
    axis = np.arange(side) - (side - 1) / 2
    y, x = np.meshgrid(axis, axis, indexing="ij")
    angle = math.radians(way.turn)
    down = (math.cos(angle) * y - math.sin(angle) * x) / _STEP**way.down + (side - 1) / 2
    across = (math.sin(angle) * y + math.cos(angle) * x) / _STEP**way.across + (side - 1) / 2
    if way.mirrored:
        across = side - 1 - across
    inside = (down >= -0.5) & (down <= side - 0.5) & (across >= -0.5) & (across <= side - 0.5)
    top, left = np.floor(down).astype(int), np.floor(across).astype(int)
    corners, weights = [], []
    for row, row_weight in ((top, 1 - (down - top)), (top + 1, down - top)):
        for column, column_weight in ((left, 1 - (across - left)), (left + 1, across - left)):
            corners.append(np.clip(row, 0, side - 1) * side + np.clip(column, 0, side - 1))
            weights.append(np.where(inside, row_weight * column_weight, 0))
    indices = np.stack(corners).reshape(4, -1).astype(np.int64)
    return indices, np.stack(weights).reshape(4, -1).astype(np.float32)


@lru_cache(maxsize=4096)
def _cover(side: int, way: _Way) -> tuple[NDArray[np.complex64], NDArray[np.bool_]]:
    """The spectrum of where a laid picture has pixels, and which shifts leave enough of it in common."""
    covered = _sampling(side, way)[1].sum(axis=0).reshape(side, side)
    spectrum = _spectrum(covered)
    overlap = _correlation(_spectrum(np.ones((side, side), np.float32)), spectrum, side)
    shift = np.arange(_period(side))
    near = np.minimum(shift, _period(side) - shift) <= side // 4
    return spectrum, np.outer(near, near) & (overlap > _LEAST_OVERLAP * side**2)


def _correlations(a: Floats, laid: Floats, ways: Sequence[_Way]) -> tuple[Floats, NDArray[np.int64]]:
    """The best fit over all shifts and that shift in pixels: (m, s, s) against (m, k, s, s) → (m, k), (m, k, 2)."""
    side, period = a.shape[-1], _period(a.shape[-1])
    covers = [_cover(side, way) for way in ways]
    cover, allowed = np.stack([cover for cover, _ in covers]), np.stack([allowed for _, allowed in covers])
    one = _spectrum(np.ones((side, side), np.float32))
    product = _correlation(_spectrum(a)[:, None], _spectrum(laid), side)
    energy_a = _correlation(_spectrum(a**2)[:, None], cover, side)
    energy_b = _correlation(one, _spectrum(laid**2), side)
    fit = np.where(allowed, product / np.sqrt(np.maximum(energy_a, 1) * np.maximum(energy_b, 1)), 0)
    every = fit.reshape(*fit.shape[:2], -1)
    place = every.argmax(axis=-1)
    shift = np.stack(np.divmod(place, period), axis=-1)
    best: Floats = np.take_along_axis(every, place[..., None], axis=-1)[..., 0]
    return best, np.where(shift > period // 2, shift - period, shift)


def _period(side: int) -> int:
    """Long enough that no shift within the limit wraps round."""
    return side + side // 4


def _spectrum(values: Floats) -> NDArray[np.complex64]:
    period = _period(values.shape[-1])
    return np.asarray(fft.rfft2(values, (period, period)), dtype=np.complex64)


def _correlation(a: NDArray[np.complex64], b: NDArray[np.complex64], side: int) -> Floats:
    period = _period(side)
    return np.asarray(fft.irfft2(a * np.conj(b), (period, period)), dtype=np.float32)
