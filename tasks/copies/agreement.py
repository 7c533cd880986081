"""Whether two pictures are one: registered, and compared block by block by the direction and strength of their edges.

Pictures of one kind look alike as a whole: chests have ribs at one place, cells one outline. What differs between two
of them is fine detail. So the detail of each block must agree on its own, only blocks with detail in two directions
count (a straight edge fits any other), and few blocks are little evidence: the score is the lower bound of the share of
agreeing blocks (E. B. Wilson, JASA 1927). Small pictures have few pixels to agree by, and so few blocks.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.copies.alignment import Placement, placements, thumbnails_of
from tasks.copies.registration import DETAIL_SIDE, DetailPicture, moved, points, registered, sampled
from tasks.work.pool import map_in_order

_BLOCK: Final = 16
_AGREE: Final = 0.7
_DETAIL: Final = 0.7
"""Grey levels a pixel: root mean square of the edges across a block's weaker direction."""

_COVERED: Final = 0.6
_Z: Final = 2.58
"""Of the lower bound: 99 % of both sides."""

_LEAST_BLOCKS: Final = 16
"""Of 64: what all pictures of a device have in common, margins, bars and a label, fills less."""

_PIXELS_A_BLOCK: Final = 4
"""Pixels of a side of the original file below which a block is no evidence of its own."""

_SCALES: Final = (0.62, 1.6)
_MOST_STRETCHED: Final = 1.3
_MOST_SHIFTED: Final = 0.32
_LEAST_OVERLAP: Final = 0.5
_CLEAR: Final = 0.5
"""Score that no second way of laying them over one another can reach as well."""

_BATCH: Final = 32

Floats = NDArray[np.float32]


def detail_picture(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The whole picture, squashed: uint8 (H, W, 3) RGB → uint8 (DETAIL_SIDE, DETAIL_SIDE) grey."""
    grey = Image.fromarray(np.ascontiguousarray(pixels)).convert("L")
    return np.array(grey.resize((DETAIL_SIDE, DETAIL_SIDE), Image.Resampling.BILINEAR))


def agreement(
    pictures: NDArray[np.uint8],
    sides: NDArray[np.int64],
    pairs: NDArray[np.int64],
    mirrored: NDArray[np.bool_] | None = None,
    threads: int = 2,
) -> Floats:
    """How surely each pair is one picture, whatever was done to it: float32 (m,), 0..1.

    `pictures` is uint8 (n, DETAIL_SIDE, DETAIL_SIDE) of `detail_picture`, `sides` int64 (n,) the shorter side of each
    file in pixels, `pairs` int64 (m, 2) of rows. Mirroring is tried where `mirrored` says (of all by default). 0 stands
    for pairs that fit nowhere.
    """
    small, known = thumbnails_of(pictures), [DetailPicture(one) for one in pictures]
    both = np.ones(len(pairs), dtype=np.bool_) if mirrored is None else mirrored
    weights = np.minimum(1, (sides[pairs].min(axis=1) * _BLOCK / DETAIL_SIDE / _PIXELS_A_BLOCK) ** 2)
    large = np.flatnonzero(weights * (DETAIL_SIDE // _BLOCK) ** 2 >= _LEAST_BLOCKS)
    scores = np.zeros(len(pairs), dtype=np.float32)

    def of_batch(some: NDArray[np.int64]) -> Floats:
        places, rows = np.unique(pairs[some], return_inverse=True)
        found = placements(small[places], rows.reshape(-1, 2), both[some])
        of_pair = zip(pairs[some].tolist(), found, strict=True)
        best = [
            _best(known[a], known[b], tried, weight)
            for ((a, b), tried), weight in zip(of_pair, weights[some].tolist(), strict=True)
        ]
        return np.array(best, dtype=np.float32)

    batches = [large[start : start + _BATCH] for start in range(0, len(large), _BATCH)]
    for some, found in zip(batches, map_in_order(of_batch, batches, threads), strict=True):
        scores[some] = found
    return scores


def _best(a: DetailPicture, b: DetailPicture, tried: Sequence[Placement], weight: float) -> float:
    best = 0.0
    for place in tried:
        best = max(best, _score(a, b, registered(a, b, place), weight))
        if best >= _CLEAR:
            break
    return best


def _score(a: DetailPicture, b: DetailPicture, place: Placement, weight: float) -> float:
    if not _plausible(place):
        return 0.0
    y, x = moved(place, *points(DETAIL_SIDE), DETAIL_SIDE)
    inside = (y >= 1) & (y <= DETAIL_SIDE - 2) & (x >= 1) & (x <= DETAIL_SIDE - 2)
    if inside.mean() < _LEAST_OVERLAP:
        return 0.0
    slopes = (*np.gradient(a.detail), *np.gradient(sampled((b.detail,), y, x)[0]))
    counts, agrees = _blocks(slopes, inside)
    if weight * counts.sum() < _LEAST_BLOCKS:
        return 0.0
    return lower_bound(weight * float((counts & agrees).sum()), weight * float(counts.sum()))


def _plausible(place: Placement) -> bool:
    """Whether people do such things to pictures: else the fit is of something else."""
    most, least = np.linalg.svd(place.matrix, compute_uv=False)
    return bool(
        least >= _SCALES[0]
        and most <= _SCALES[1]
        and most <= _MOST_STRETCHED * least
        and np.abs(place.offset).max() <= _MOST_SHIFTED
    )


def _blocks(
    slopes: tuple[Floats, Floats, Floats, Floats], inside: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which blocks have detail in two directions in both pictures, and which agree: bool (k, k) both."""
    a_down, a_across, b_down, b_across = slopes
    mean = _means(inside)
    share = np.maximum(mean(np.ones_like(a_down)), 1e-9)
    a = [mean(a_down**2), mean(a_across**2), mean(a_down * a_across)]
    b = [mean(b_down**2), mean(b_across**2), mean(b_down * b_across)]
    shared = mean(a_down * b_down + a_across * b_across)
    energy = np.sqrt(np.maximum((a[0] + a[1]) * (b[0] + b[1]), 1e-12))
    detail = np.sqrt(_weaker(*a) * _weaker(*b)) / share
    return (share >= _COVERED) & (detail > _DETAIL**2), shared >= _AGREE * energy


def _means(inside: NDArray[np.bool_]) -> Callable[[Floats], Floats]:
    """Means of a picture over its blocks, of what is inside."""
    k = DETAIL_SIDE // _BLOCK
    return lambda values: (values * inside).reshape(k, _BLOCK, k, _BLOCK).mean((1, 3))


def _weaker(down: Floats, across: Floats, both: Floats) -> Floats:
    """The smaller eigenvalue of the structure tensor (C. Harris and M. Stephens, 1988)."""
    middle, half = (down + across) / 2, (down - across) / 2
    return np.maximum(middle - np.sqrt(half**2 + both**2), 0)


def lower_bound(agreeing: float, counted: float) -> float:
    """Wilson's lower bound of a share."""
    if counted <= 0:
        return 0.0
    share, z2 = agreeing / counted, _Z**2
    spread = _Z * math.sqrt((share * (1 - share) + z2 / (4 * counted)) / counted)
    return max(0.0, (share + z2 / (2 * counted) - spread) / (1 + z2 / counted))
