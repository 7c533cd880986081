"""Whether two pictures are one, shifted, stretched, turned, mirrored or marked: thumbnails laid over one another.

The sharp test behind the hash and the features, which only propose. Slices of two heads look alike as a whole, so what
is compared is fine structure: each thumbnail less its surroundings, by normalised cross-correlation over shifts
(J. P. Lewis, "Fast Normalized Cross-Correlation", 1995: products and energies of the overlap by FFT) at many scales,
first coarsely, then from the best coarse fit ever more finely.
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

from tasks.work.pool import map_in_order

SIDE: Final = 48
"""Pixels of a thumbnail's side."""

_COARSE_SIDE: Final = 16
_COARSE_LIKENESS: Final = 0.55
_SURROUNDINGS_PX: Final = 3.0
_NOISE: Final = 5.0
_STEP: Final = 1.12
_LEAST_OVERLAP: Final = 0.5
_MOST_GAINED: Final = 0.2
_FLAT: Final = 0.02
_BATCH: Final = 32

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


def thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The whole picture, squashed: uint8 (H, W, 3) RGB → uint8 (SIDE, SIDE) grey."""
    grey = Image.fromarray(np.ascontiguousarray(pixels)).convert("L")
    return np.array(grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def is_flat(thumbnails: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of uint8 (n, SIDE, SIDE) have no structure by which anything could be told: bool (n,)."""
    return np.asarray((_fine_structure(thumbnails) ** 2).mean(axis=(1, 2)) < _FLAT)


def alignment(
    thumbnails: NDArray[np.uint8],
    pairs: NDArray[np.int64],
    enough: float = 1.0,
    mirrored: NDArray[np.bool_] | None = None,
    threads: int = 2,
) -> Floats:
    """How well each pair fits when one is laid over the other as well as can be: float32 (m,), 0..1.

    `thumbnails` is uint8 (n, SIDE, SIDE), `pairs` int64 (m, 2) of rows. Tried are scales from 0.7 to 1.44, nearly the
    same in both directions, turns up to 7 degrees, mirroring (where `mirrored`; of all by default), and shifts up to a
    quarter of the side, with at least half of the picture in common. Nothing finer is tried once a pair reaches
    `enough`, or clearly never will; 0 stands for pairs without likeness even at a coarse look. On 228 brain MR slices
    all pairs that are copies reach 0.82, no others 0.76.
    """
    fine = _fine_structure(thumbnails)
    coarse = fine.reshape(-1, _COARSE_SIDE, SIDE // _COARSE_SIDE, _COARSE_SIDE, SIDE // _COARSE_SIDE).mean(
        (2, 4)
    )
    both = np.ones(len(pairs), dtype=np.bool_) if mirrored is None else mirrored
    batches = [slice(start, start + _BATCH) for start in range(0, len(pairs), _BATCH)]
    fits = map_in_order(lambda some: _fits(fine, coarse, pairs[some], both[some], enough), batches, threads)
    return np.concatenate([np.empty(0, dtype=np.float32), *fits])


def _fits(
    fine: Floats, coarse: Floats, pairs: NDArray[np.int64], mirrored: NDArray[np.bool_], enough: float
) -> Floats:
    a, b = pairs.T
    straight = len(_COARSE_WAYS) // 2
    likeness = np.zeros((len(pairs), 2 * straight), dtype=np.float32)
    ways = _COARSE_WAYS[:straight]
    likeness[:, :straight] = _correlations(coarse[a], _laid(coarse[b], ways), ways)
    if mirrored.any():
        ways, some = _COARSE_WAYS[straight:], np.flatnonzero(mirrored)
        likeness[some, straight:] = _correlations(coarse[a[some]], _laid(coarse[b[some]], ways), ways)
    best = np.zeros(len(pairs), dtype=np.float32)
    for i in np.flatnonzero(likeness.max(axis=1) >= _COARSE_LIKENESS):
        starts = [int(likeness[i, :straight].argmax()), straight + int(likeness[i, straight:].argmax())]
        starts.sort(key=lambda start: -likeness[i, start])
        for start in starts:
            if best[i] < enough and likeness[i, start] >= _COARSE_LIKENESS:
                best[i] = max(best[i], _refined(fine[a[i]], fine[b[i]], _COARSE_WAYS[start], enough))
    return best


def _refined(a: Floats, b: Floats, way: _Way, enough: float) -> float:
    """The best fit near a coarse one, with steps that halve."""
    best = 0.0
    for step, turn in ((0.5, 4.0), (0.25, 2.0), (0.125, 1.0)):
        ways = [
            _Way(way.down + down * step, way.across + across * step, way.turn, way.mirrored)
            for down in (-1, 0, 1)
            for across in (-1, 0, 1)
        ]
        ways += [replace(way, turn=way.turn - turn), replace(way, turn=way.turn + turn)]
        fits = _correlations(a[None], _laid(b[None], ways), ways)[0]
        way, best = ways[int(fits.argmax())], max(best, float(fits.max()))
        if not enough - _MOST_GAINED <= best < enough:
            break
    return best


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


def _correlations(a: Floats, laid: Floats, ways: Sequence[_Way]) -> Floats:
    """The best fit over all shifts: (m, s, s) against (m, k, s, s) → (m, k)."""
    side = a.shape[-1]
    covers = [_cover(side, way) for way in ways]
    cover, allowed = np.stack([cover for cover, _ in covers]), np.stack([allowed for _, allowed in covers])
    one = _spectrum(np.ones((side, side), np.float32))
    product = _correlation(_spectrum(a)[:, None], _spectrum(laid), side)
    energy_a = _correlation(_spectrum(a**2)[:, None], cover, side)
    energy_b = _correlation(one, _spectrum(laid**2), side)
    fit = product / np.sqrt(np.maximum(energy_a, 1) * np.maximum(energy_b, 1))
    best: Floats = np.where(allowed, fit, 0).max(axis=(-2, -1))
    return best


def _period(side: int) -> int:
    """Long enough that no shift within the limit wraps round."""
    return side + side // 4


def _spectrum(values: Floats) -> NDArray[np.complex64]:
    period = _period(values.shape[-1])
    return np.asarray(fft.rfft2(values, (period, period)), dtype=np.complex64)


def _correlation(a: NDArray[np.complex64], b: NDArray[np.complex64], side: int) -> Floats:
    period = _period(side)
    return np.asarray(fft.irfft2(a * np.conj(b), (period, period)), dtype=np.float32)
