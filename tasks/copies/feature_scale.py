"""Deep features of contents, and the scale on which they are compared."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.work.npz import arrays_of
from tasks.work.row_file import Rows

LEAST_CONTENTS: Final = 200
"""Contents from which on a scale is meaningful enough to be kept for ever."""

_ROWS: Final = 512


@dataclass(frozen=True)
class ContentFeatures:
    """What is compared of contents, by digest.

    `values` is float16 or float32 (len(sha256s), d). `pictures(sha256s)` gives uint8 (k, DETAIL_SIDE, DETAIL_SIDE) of
    some of them (see `agreement.detail_picture`). Both may lie in files, from which rows are taken. `version` names the
    network and the preparation that made them.
    """

    sha256s: tuple[str, ...]
    values: Rows
    pictures: Callable[[Sequence[str]], Rows]
    version: str = ""


@dataclass(frozen=True)
class FeatureScale:
    """Mean and deviation of each feature, float32 (d,).

    Kept for a data set once it has LEAST_CONTENTS contents, so that how near two images are never again depends on
    the others: groups do not drift as data grow.
    """

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]

    @classmethod
    def of(cls, values: Rows) -> "FeatureScale":
        """The scale on which these features (n, d) have mean 0 and variance 1."""
        n, blocks = max(1, len(values)), range(0, len(values), _ROWS)
        mean = np.zeros(values.shape[1], dtype=np.float64)
        for start in blocks:
            mean += values[start : start + _ROWS].sum(axis=0, dtype=np.float64) / n
        squares = np.zeros_like(mean)
        for start in blocks:
            squares += ((values[start : start + _ROWS] - mean) ** 2).sum(axis=0)
        return cls(mean.astype(np.float32), np.sqrt(squares / n).astype(np.float32))

    def unit(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Features (n, d) on this scale, a constant one 0, each row brought to length 1: float32 (n, d)."""
        unit: NDArray[np.float32] = values.astype(np.float32)
        unit -= self.mean
        varies = self.deviation > 1e-6
        np.divide(unit, self.deviation, out=unit, where=varies)
        unit[:, ~varies] = 0
        length = np.linalg.norm(unit, axis=1, keepdims=True)
        unit *= length > 1e-6
        np.divide(unit, length, out=unit, where=length > 1e-6)
        return unit

    def to_bytes(self) -> bytes:
        """As an .npz file."""
        data = io.BytesIO()
        np.savez(data, mean=self.mean, deviation=self.deviation)
        return data.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "FeatureScale":
        """Read what `to_bytes` wrote.

        Raises:
            WorkspaceError: it is damaged.
        """
        arrays: Any = arrays_of(
            data,
            ("mean", "deviation"),
            "the scale of the deep features",
            "restore it, or delete the data set's copies folder: a scale is then made anew from today's images, and "
            "copies are searched again on it",
        )
        return cls(arrays["mean"], arrays["deviation"])
