"""Copies and their groups."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from tasks.copies.duplicates import (
    dhash,
    group_by_pairs,
    near_pairs_by_hash,
    pairs_by_key,
)
from tasks.images.decode import decode


def distance(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    return int(np.unpackbits(a ^ b).sum())


def as_partition(components: NDArray[np.int64]) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(components == value).tolist()) for value in np.unique(components)}


def slice_like(seed: int, side: int = 256) -> NDArray[np.uint8]:
    """Smooth blobs: what hashes see of a slice."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
    return np.repeat(np.asarray(image)[..., None], 3, axis=2)


def test_recompressed_and_rescaled_copies_are_near_and_others_far() -> None:
    image = slice_like(0)
    data = io.BytesIO()
    Image.fromarray(image).resize((180, 180)).save(data, "JPEG", quality=60)
    copy = decode(data.getvalue()).pixels
    assert distance(dhash(image), dhash(copy)) <= 20
    assert distance(dhash(image), dhash(slice_like(1))) > 60


def test_dhash_bits_are_brighter_than_the_left_neighbour() -> None:
    rising = np.repeat(np.tile(np.arange(0, 255, 5, dtype=np.uint8), (48, 1))[..., None], 3, axis=2)
    assert (dhash(rising) == 255).all()
    assert (dhash(np.ascontiguousarray(rising[:, ::-1])) == 0).all()
    assert dhash(rising).shape == (32,)


@given(
    hnp.arrays(
        np.uint8, st.tuples(st.integers(0, 12), st.just(32)), elements=st.sampled_from([0, 1, 3, 255])
    ),
    st.integers(0, 256),
)
def test_hash_pairs_are_all_pairs_within_the_distance(hashes: NDArray[np.uint8], limit: int) -> None:
    expected = {
        (i, j)
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if distance(hashes[i], hashes[j]) <= limit
    }
    found = [tuple(pair) for pair in near_pairs_by_hash(hashes, limit).tolist()]
    assert len(found) == len(set(found))
    assert set(found) == expected


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_few_or_equal_rows(rows: int) -> None:
    assert near_pairs_by_hash(np.zeros((rows, 32), dtype=np.uint8)).shape == (rows // 2, 2)
    assert group_by_pairs(rows).tolist() == list(range(rows))


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]], list[str | None]]:
    n = draw(st.integers(1, 15))
    index = st.integers(0, n - 1)
    pairs = draw(st.lists(st.tuples(index, index), max_size=12))
    keys = draw(st.lists(st.sampled_from([None, None, None, "a", "b", "c"]), min_size=n, max_size=n))
    return n, pairs, keys


@given(graphs())
def test_groups_join_pairs_and_keys_and_row_order_changes_nothing(
    graph: tuple[int, list[tuple[int, int]], list[str | None]],
) -> None:
    n, pairs, keys = graph
    components = group_by_pairs(n, np.array(pairs, dtype=np.int64).reshape(-1, 2), keys=keys)
    assert all(components[i] == components[j] for i, j in pairs)
    for i in range(n):
        for j in range(n):
            assert keys[i] is None or keys[i] != keys[j] or components[i] == components[j]
    # Naive closure as the oracle.
    parts = [{i} for i in range(n)]
    edges = [
        *pairs,
        *((i, j) for i in range(n) for j in range(n) if keys[i] is not None and keys[i] == keys[j]),
    ]
    for i, j in edges:
        a = next(part for part in parts if i in part)
        b = next(part for part in parts if j in part)
        if a is not b:
            parts.remove(b)
            a |= b
    assert as_partition(components) == {frozenset(part) for part in parts}
    order = np.random.default_rng(n).permutation(n)
    place = np.argsort(order)
    moved = group_by_pairs(
        n,
        np.array([(place[i], place[j]) for i, j in pairs], dtype=np.int64).reshape(-1, 2),
        keys=[keys[i] for i in order],
    )
    assert as_partition(moved[place]) == as_partition(components)


def test_pairs_by_several_keys_a_row() -> None:
    pairs = pairs_by_key([("a", "b"), ("c",), ("b",), (), ("c", "a"), ("a", "a")])
    assert as_partition(group_by_pairs(6, pairs)) == {frozenset({0, 1, 2, 4, 5}), frozenset({3})}


def test_brain_mri_has_208_groups_by_hash_none_with_two_labels(brain_mri: Path) -> None:
    paths = [*sorted(brain_mri.glob("no/*")), *sorted(brain_mri.glob("yes/*"))]
    assert len(paths) == 253
    hashes = np.stack([dhash(decode(path.read_bytes()).pixels) for path in paths])
    components = group_by_pairs(len(paths), near_pairs_by_hash(hashes, 20))
    labels = np.array([path.parent.name for path in paths])
    assert len(np.unique(components)) == 208
    assert all(len(set(labels[components == group])) == 1 for group in np.unique(components))
