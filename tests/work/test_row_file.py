"""A file of rows is an array, except that the process does not hold it."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.work.row_file import RowFile


@given(n=st.integers(0, 600), width=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))
def test_rows_are_taken_and_put_as_an_arrays(n: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, array = RowFile((n, width, 2), np.float16), np.zeros((n, width, 2), np.float16)
    places = rng.permutation(n)[: rng.integers(0, n + 1)]
    values = rng.normal(size=(len(places), width, 2)).astype(np.float16)
    rows[places], array[places] = values, values
    asked = rng.integers(0, n, 700) if n else np.empty(0, dtype=np.int64)
    assert (len(rows), rows.shape, rows.dtype) == (n, array.shape, array.dtype)
    np.testing.assert_array_equal(rows, array)
    np.testing.assert_array_equal(rows[asked], array[asked])
    np.testing.assert_array_equal(rows[n // 3 : n // 2], array[n // 3 : n // 2])
    np.testing.assert_array_equal(rows.only(places), array[places])
    np.testing.assert_array_equal(list(rows), list(array))


def test_the_process_holds_little_of_it() -> None:
    def resident_mb() -> float:
        (line,) = (
            one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmRSS")
        )
        return int(line.split()[1]) / 1024

    rows = RowFile((50_000, 1280), np.float16)  # 128 MB
    before = resident_mb()
    for start in range(0, len(rows), 1000):
        places = np.arange(start, start + 1000)
        rows[places] = np.full((1000, 1280), start, np.float16)
        assert (rows[places[::-1]] == np.float16(start)).all()
    for seed in range(20):
        rows[np.random.default_rng(seed).integers(0, len(rows), 500)]
    assert resident_mb() - before < 32
