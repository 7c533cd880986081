"""Pairs of rows that point nearly the same way, found without comparing all with all when there are many.

Up to `EXACT_PAIRS` comparisons are all made. Above, rows are put into cells around centres (an inverted file, as in
J. Sivic and A. Zisserman, "Video Google", ICCV 2003) and each row is compared with the members of the cells nearest to
it. A pair is found when one of the two looks into the other's cell, so time grows with n to the power of 1.5 and memory
with n.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

EXACT_PAIRS: Final = 10_000**2
"""Comparisons (rows searched for times rows searched among) up to which all are made."""

PROBES: Final = 32
"""Cells that a row is searched in."""

KEPT_EXACT: Final = 32
KEPT_OF_MANY: Final = 16
"""Nearest neighbours of a row that are kept, beside the first of those that are very near."""

_CELLS_A_ROOT: Final = 2
_SAMPLE_A_CELL: Final = 24
_ITERATIONS: Final = 6
_WIDTH: Final = 1024
_BLOCK_CELLS: Final = 1 << 20
_BUFFERED: Final = 1 << 21


@dataclass(frozen=True)
class Vectors:
    """n rows of length 1 (or 0, which are like nothing): `rows(indices)` gives float32 (k, d)."""

    n: int
    rows: Callable[[NDArray[np.int64]], NDArray[np.float32]]


def similar_pairs(
    vectors: Vectors,
    min_similarity: float,
    new: NDArray[np.bool_] | None = None,
    *,
    exact_pairs: int = EXACT_PAIRS,
    probes: int = PROBES,
    kept: int | None = None,
) -> NDArray[np.int64]:
    """Pairs with an inner product of at least `min_similarity`, of which one row is `new` (all are by default).

    The result is int64 (m, 2), each pair once, the smaller index first. A pair must be among the `kept` nearest of one
    of its rows (KEPT_EXACT, or KEPT_OF_MANY where cells are used), or lead to the first of a row's very near
    neighbours, which holds a crowd of copies together; so pairs are never quadratic.
    """
    is_new = np.ones(vectors.n, dtype=np.bool_) if new is None else new
    exact = int(is_new.sum()) * vectors.n <= exact_pairs
    blocks = _all_blocks(vectors, is_new) if exact else _cell_blocks(vectors, is_new, probes)
    very_near = 1 - (1 - min_similarity) / 4
    found = _Neighbours(vectors.n, kept or (KEPT_EXACT if exact else KEPT_OF_MANY), very_near)
    for left, right, product in blocks:
        row, column = np.nonzero(product >= min_similarity)
        a, b = left[row], right[column]
        wanted = (a != b) & (is_new[a] | is_new[b])
        found.add(a[wanted], b[wanted], product[row[wanted], column[wanted]])
    return found.pairs()


class _Neighbours:
    """The nearest neighbours of each row so far; memory is bounded by rows times `kept` and one."""

    def __init__(self, n: int, kept: int, very_near: float) -> None:
        self._n, self._kept, self._very_near = n, kept, very_near
        self._keys = [np.empty(0, dtype=np.int64)]
        self._similarity = [np.empty(0, dtype=np.float32)]
        self._buffered = 0

    def add(self, a: NDArray[np.int64], b: NDArray[np.int64], similarity: NDArray[np.float32]) -> None:
        self._keys += [a * self._n + b, b * self._n + a]
        self._similarity += [similarity, similarity]
        self._buffered += 2 * len(a)
        if self._buffered > _BUFFERED:
            self._shrink()

    def pairs(self) -> NDArray[np.int64]:
        self._shrink()
        pairs = np.stack(np.divmod(self._keys[0], self._n or 1), axis=1)
        return np.unique(np.sort(pairs, axis=1), axis=0)

    def _shrink(self) -> None:
        keys, first = np.unique(np.concatenate(self._keys), return_index=True)
        similarity = np.concatenate(self._similarity)[first]
        row = keys // (self._n or 1)
        starts = np.flatnonzero(np.diff(row, prepend=-1))
        keep = np.zeros(len(keys), dtype=np.bool_)
        crowd = np.flatnonzero(similarity >= self._very_near)
        keep[crowd[np.unique(row[crowd], return_index=True)[1]]] = True
        order = np.lexsort((-similarity, row))
        rank = np.arange(len(keys)) - np.repeat(starts, np.diff(starts, append=len(keys)))
        keep[order[rank < self._kept]] = True
        self._keys, self._similarity = [keys[keep]], [similarity[keep]]
        self._buffered = 0


Block = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]
"""Rows, others, and their inner products (rows, others)."""


def _all_blocks(vectors: Vectors, is_new: NDArray[np.bool_]) -> Iterator[Block]:
    """Every new row against every row, two new ones once."""
    new, old = np.flatnonzero(is_new), np.flatnonzero(~is_new)
    for start in range(0, len(new), _WIDTH):
        yield from _products(vectors, new[start : start + _WIDTH], np.concatenate([old, new[start:]]))


def _cell_blocks(vectors: Vectors, is_new: NDArray[np.bool_], probes: int) -> Iterator[Block]:
    """Every row against the members of the cells nearest to it, as far as one of the two is new."""
    centres = _centres(vectors)
    cells = _nearest_cells(vectors, centres, probes)
    members, member_edges = _by_cell(cells[:, 0], len(centres))
    visits, visit_edges = _by_cell(cells.ravel(), len(centres))
    for cell in range(len(centres)):
        inside = members[member_edges[cell] : member_edges[cell + 1]]
        visitors = visits[visit_edges[cell] : visit_edges[cell + 1]] // cells.shape[1]
        if not is_new[inside].any():
            visitors = visitors[is_new[visitors]]
        yield from _products(vectors, visitors, inside)


def _by_cell(cells: NDArray[np.unsignedinteger], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places in the order of their cells, and where each of n cells begins and the last ends."""
    counts = np.bincount(cells, minlength=n)
    return np.argsort(cells, kind="stable"), np.concatenate([[0], np.cumsum(counts)])


def _products(vectors: Vectors, left: NDArray[np.int64], right: NDArray[np.int64]) -> Iterator[Block]:
    """Inner products, in blocks of at most a million."""
    height = max(1, _BLOCK_CELLS // _WIDTH)
    for start in range(0, len(right), _WIDTH):
        others = right[start : start + _WIDTH]
        values = vectors.rows(others).T
        for top in range(0, len(left), height):
            some = left[top : top + height]
            yield some, others, vectors.rows(some) @ values


def _centres(vectors: Vectors) -> NDArray[np.float32]:
    """Spherical k-means on a sample: float32 (cells, d). The same vectors give the same centres."""
    rng = np.random.default_rng(0)
    cells = max(1, round(_CELLS_A_ROOT * vectors.n**0.5))
    drawn = rng.choice(vectors.n, size=min(vectors.n, _SAMPLE_A_CELL * cells), replace=False)
    sample = np.sort(drawn)
    centres = vectors.rows(sample[rng.choice(len(sample), size=min(cells, len(sample)), replace=False)])
    for _ in range(_ITERATIONS):
        sums, held = np.zeros_like(centres), np.zeros(len(centres), dtype=np.bool_)
        for start in range(0, len(sample), _WIDTH):
            rows = vectors.rows(sample[start : start + _WIDTH])
            nearest = _nearest(rows, centres, 1)[:, 0]
            order = np.argsort(nearest, kind="stable")
            cell, first = np.unique(nearest[order], return_index=True)
            sums[cell] += np.add.reduceat(rows[order], first, axis=0)
            held[cell] = True
        sums[~held] = centres[~held]
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = (sums / np.maximum(length, 1e-6)).astype(np.float32)
    return np.asarray(centres, dtype=np.float32)


def _nearest_cells(
    vectors: Vectors, centres: NDArray[np.float32], probes: int
) -> NDArray[np.unsignedinteger]:
    """The nearest cells of each row, the nearest first: unsigned (n, min(probes, cells))."""
    step = max(1, _BLOCK_CELLS // len(centres))
    parts = [
        _nearest(vectors.rows(np.arange(start, min(vectors.n, start + step))), centres, probes)
        for start in range(0, vectors.n, step)
    ]
    return np.concatenate(parts)


def _nearest(
    rows: NDArray[np.float32], centres: NDArray[np.float32], probes: int
) -> NDArray[np.unsignedinteger]:
    likeness, small = rows @ centres.T, np.min_scalar_type(len(centres))
    if probes == 1:
        return np.asarray(likeness.argmax(axis=1)[:, None], dtype=small)
    probes = min(probes, len(centres))
    some = np.argpartition(-likeness, probes - 1, axis=1)[:, :probes]
    order = np.argsort(-np.take_along_axis(likeness, some, axis=1), axis=1, kind="stable")
    return np.asarray(np.take_along_axis(some, order, axis=1), dtype=small)
