"""Pairs by perceptual hash or by a shared key, and the groups that pairs make."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tasks.copies.similarity import Vectors, similar_pairs

HASH_BYTES: Final = 32
HASH_BITS: Final = 8 * HASH_BYTES


def dhash(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Difference hash of 256 bits: is each cell of a 16x17 grey copy brighter than its left neighbour?

    `pixels` is uint8 (H, W, 3); the result uint8 (32,). It survives recompression and rescaling, not shifts
    or crops. Source: N. Krawetz, "Kind of Like That" (2013), with 16 instead of 8 cells a side. The copy is
    made by bilinear averaging: among Pillow's filters it finds most copies on brain MR slices at equal
    distance.
    """
    grey = Image.fromarray(np.ascontiguousarray(pixels)).convert("L")
    cells = np.asarray(grey.resize((17, 16), Image.Resampling.BILINEAR))
    return np.packbits(cells[:, 1:] > cells[:, :-1])


def near_pairs_by_hash(
    hashes: NDArray[np.uint8], max_distance: int = 20, new: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Pairs of rows whose hashes differ in at most `max_distance` of 256 bits, one of them `new` (all by default).

    `hashes` is uint8 (n, 32); the result int64 (m, 2), each pair once with the smaller index first. Bits count as
    directions of +1 and -1, of which the inner product tells the distance: see `similar_pairs` for what that costs.
    """

    def directions(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        bits = np.unpackbits(hashes[rows], axis=1).astype(np.float32)
        return (2 * bits - 1) / np.float32(HASH_BITS**0.5)

    return similar_pairs(Vectors(len(hashes), directions), 1 - 2 * max_distance / HASH_BITS, new)


def hash_distances(hashes: NDArray[np.uint8], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of 256 bits differ: uint8 (n, 32) and pairs of rows int64 (m, 2) → int64 (m,)."""
    differing: NDArray[np.int64] = np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]).sum(
        axis=1, dtype=np.int64
    )
    return differing


def pairs_by_key(keys: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    """Pairs that tie each row to the first row sharing one of its keys; `keys[i]` are row i's keys."""
    first: dict[str, int] = {}
    pairs = [
        (first.setdefault(key, row), row)
        for row, row_keys in enumerate(keys)
        for key in row_keys
        if first.setdefault(key, row) != row
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def group_by_pairs(
    n: int, *pairs: NDArray[np.int64], keys: Sequence[str | None] | None = None
) -> NDArray[np.int64]:
    """Connected component of each of n rows, int64 (n,), under the pairs and, when given, equal keys.

    Components are numbered by their first row, so the numbers mean nothing beyond being equal or not.
    """
    if keys is not None:
        pairs = (*pairs, pairs_by_key([() if key is None else (key,) for key in keys]))
    if n == 0:
        return np.empty(0, dtype=np.int64)
    edges = _joined(list(pairs))
    graph = coo_array((np.ones(len(edges), dtype=np.int8), (edges[:, 0], edges[:, 1])), shape=(n, n))
    components: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return components.astype(np.int64)


def _joined(found: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.empty((0, 2), dtype=np.int64), *found])
