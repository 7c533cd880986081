"""Many rows of numbers in a temporary file, of which only those at work are in memory."""

import mmap
import os
import tempfile
from collections.abc import Iterator
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

_AT_ONCE: Final = 256
"""Rows between two releases: the kernel maps up to 64 KB around each that is touched."""


class RowFile:
    """An array of a fixed shape (n, ...), zero at first, whose rows are taken and put as an array's.

    It lies in the folder for temporary files, without a name, and is gone with the object. What was taken is a copy;
    the process holds no more than some hundred rows of the file itself, whatever n.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        size = max(1, prod(shape) * self.dtype.itemsize)
        with tempfile.TemporaryFile(prefix="lightbox-rows-") as file:
            os.posix_fallocate(
                file.fileno(), 0, size
            )  # else a full disk shows as a signal that ends the process
            self._map = mmap.mmap(file.fileno(), size)
        self._rows = np.frombuffer(self._map, self.dtype, count=prod(shape)).reshape(shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, rows: int | slice | NDArray[np.int64]) -> NDArray[Any]:
        """A copy of these rows."""
        places = np.arange(len(self))[rows]
        if places.ndim == 0:
            return self._rows[places].copy()
        taken = np.empty((len(places), *self.shape[1:]), self.dtype)
        for start in range(0, len(places), _AT_ONCE):
            taken[start : start + _AT_ONCE] = self._rows[places[start : start + _AT_ONCE]]
            self._map.madvise(mmap.MADV_DONTNEED)
        return taken

    def __setitem__(self, rows: NDArray[np.int64], values: NDArray[Any]) -> None:
        for start in range(0, len(rows), _AT_ONCE):
            self._rows[rows[start : start + _AT_ONCE]] = values[start : start + _AT_ONCE]
            self._map.madvise(mmap.MADV_DONTNEED)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """All of it, in memory."""
        return np.asarray(self[:], dtype=dtype)

    def only(self, rows: NDArray[np.int64]) -> "RowFile":
        """A new file of these rows."""
        some = RowFile((len(rows), *self.shape[1:]), self.dtype)
        for start in range(0, len(rows), _AT_ONCE):
            places = np.arange(start, min(start + _AT_ONCE, len(rows)))
            some[places] = self[rows[places]]
        return some


Rows = NDArray[Any] | RowFile
"""Rows in memory or in a file: `rows[places]` is a copy of some."""
