"""Deep features of contents, and the scale on which they are compared."""

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.errors import WorkspaceError

LEAST_CONTENTS: Final = 200
"""Contents from which on a scale is meaningful enough to be kept for ever."""

_ROWS: Final = 4096


@dataclass(frozen=True)
class ContentFeatures:
    """What is compared of contents, by digest.

    `values` is float16 or float32 (len(sha256s), d). `thumbnails(sha256s)` gives uint8 (k, SIDE, SIDE) of some of
    them (see `alignment.thumbnail`). `version` names the network and the preparation that made them.
    """

    sha256s: tuple[str, ...]
    values: NDArray[np.floating]
    thumbnails: Callable[[Sequence[str]], NDArray[np.uint8]]
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
    def of(cls, values: NDArray[np.floating]) -> "FeatureScale":
        """The scale on which these features (n, d) have mean 0 and variance 1."""
        n = max(1, len(values))
        mean = values.sum(axis=0, dtype=np.float64) / n
        squares = np.zeros_like(mean)
        for start in range(0, len(values), _ROWS):
            squares += ((values[start : start + _ROWS] - mean) ** 2).sum(axis=0)
        return cls(mean.astype(np.float32), np.sqrt(squares / n).astype(np.float32))

    def unit(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Features (n, d) on this scale, a constant one 0, each row brought to length 1: float32 (n, d)."""
        centred = values.astype(np.float32) - self.mean
        standard = np.divide(centred, self.deviation, out=np.zeros_like(centred), where=self.deviation > 1e-6)
        length = np.linalg.norm(standard, axis=1, keepdims=True)
        unit: NDArray[np.float32] = np.divide(
            standard, length, out=np.zeros_like(standard), where=length > 1e-6
        )
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
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                return cls(file["mean"], file["deviation"])
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise WorkspaceError(
                f"the scale of the deep features is damaged: {error}",
                cure="restore it, or delete the data set's copies folder: a scale is then made anew from today's "
                "images, and copies are searched again on it",
            ) from error
