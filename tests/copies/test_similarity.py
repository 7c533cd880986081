"""Similar rows are found: all of them among few, nearly all among many, and only what is new in a growing set."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasks.copies.duplicates import group_by_pairs
from tasks.copies.similarity import KEPT_EXACT, Vectors, similar_pairs


def unit(values: NDArray[np.float64]) -> NDArray[np.float32]:
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(
        np.divide(values, length, out=np.zeros_like(values), where=length > 0), dtype=np.float32
    )


def vectors(values: NDArray[np.float32]) -> Vectors:
    return Vectors(len(values), lambda rows: values[rows])


def pairs_of(found: NDArray[np.int64]) -> set[tuple[int, int]]:
    pairs = [(int(a), int(b)) for a, b in found]
    assert len(pairs) == len(set(pairs))
    assert all(a < b for a, b in pairs)
    return set(pairs)


@given(st.integers(0, 30), st.integers(0, 2**32 - 1), st.floats(-0.5, 0.95), st.data())
def test_among_few_every_pair_with_something_new_is_found(
    n: int, seed: int, least: float, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    values = unit(rng.normal(size=(n, 4)))
    new = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=np.bool_)
    products = values @ values.T
    expected = {
        (i, j) for i in range(n) for j in range(i + 1, n) if products[i, j] >= least and (new[i] or new[j])
    }
    found = pairs_of(similar_pairs(vectors(values), least, new))
    borderline = {pair for pair in expected ^ found if abs(products[pair] - least) < 1e-5}
    assert expected ^ found == borderline


def test_a_crowd_is_held_together_by_few_pairs() -> None:
    """Thousands of equal rows: what belongs together stays together, and pairs do not grow with the square."""
    rng = np.random.default_rng(0)
    values = unit(np.repeat(rng.normal(size=(2, 8)), 1500, axis=0))
    found = similar_pairs(vectors(values), 0.99)
    assert len(found) <= 3000 * (KEPT_EXACT + 1)
    groups = group_by_pairs(3000, found)
    assert len(np.unique(groups[:1500])) == len(np.unique(groups[1500:])) == 1
    assert len(np.unique(groups)) == 2


@pytest.mark.parametrize("new_share", [1.0, 0.2])
def test_among_many_cells_find_the_planted_copies(new_share: float) -> None:
    """Rows in clusters, as pictures are; a copy's cosine lies between 0.7 and 0.95, others' far below."""
    rng = np.random.default_rng(1)
    n, copies = 4000, 600
    values = rng.normal(size=(n, 48)) + 0.8 * rng.normal(size=(25, 48))[rng.integers(0, 25, n)]
    values[n - copies :] = values[:copies] + rng.normal(size=(copies, 48)) * rng.uniform(
        0.3, 0.9, (copies, 1)
    )
    rows = unit(values)
    new = np.arange(n) >= n - round(new_share * n)
    exact = pairs_of(similar_pairs(vectors(rows), 0.7, new))
    found = pairs_of(similar_pairs(vectors(rows), 0.7, new, exact_pairs=0))
    planted = {(i, n - copies + i) for i in range(copies)} & exact
    assert len(planted) > 500
    assert len(planted & found) >= 0.99 * len(planted)
    assert found <= exact
