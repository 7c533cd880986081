"""What agreement is evidence of a copy in this very set: more than its unrelated look-alikes reach.

Control pairs are an image and the nearest, by features, of a few that were drawn at random, of other patients where
these are known. They look alike without being copies, and go through the same comparison as every candidate.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_CONTROLS: Final = 64
_DRAWN: Final = 24
_SHARE_DRAWN: Final = 20
"""One in so many images is drawn at most, so that few control pairs are copies after all."""

_BEYOND: Final = 3.0
"""How far beyond the median the limit lies at least, in distances of the highest tenth of the controls from it."""

_OF_BITS: Final = 0.5
"""Share of the nearest tenth's hash distance that copies may have at most."""


@dataclass(frozen=True)
class Limits:
    """From which agreement on, and up to which hash distance, two images of a set count as copies."""

    agreement: float
    hash_distance: int

    def met(self, agreement: NDArray[np.float32], distance: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which pairs are copies, bool (m,): by agreement (m,), by hash distance (m,) where that is NaN."""
        near: NDArray[np.bool_] = np.where(
            np.isnan(agreement), distance <= self.hash_distance, agreement >= self.agreement
        )
        return near


def control_pairs(
    unit: Callable[[NDArray[np.int64]], NDArray[np.float32]], patients: Sequence[frozenset[str]]
) -> NDArray[np.int64]:
    """Pairs of rows that are hardly copies, int64 (m, 2); the same contents give the same ones.

    `unit(rows)` gives features of length 1, float32 (k, d); `patients[i]` names row i's given groups.
    """
    n, rng = len(patients), np.random.default_rng(0)
    drawn = min(_DRAWN, n // _SHARE_DRAWN)
    if not drawn:
        return np.empty((0, 2), dtype=np.int64)
    pairs = []
    for row in rng.choice(n, size=min(_CONTROLS, n), replace=False).tolist():
        others = [
            other
            for other in rng.choice(n, size=drawn, replace=False).tolist()
            if other != row and not patients[row] & patients[other]
        ]
        if others:
            likeness = unit(np.array(others, dtype=np.int64)) @ unit(np.array([row], dtype=np.int64))[0]
            pairs.append(sorted((row, others[int(likeness.argmax())])))
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)


def limits(
    least_agreement: float, most_bits: int, agreement: NDArray[np.float32], distance: NDArray[np.int64]
) -> Limits:
    """The rule's own limits, made stricter by what control pairs reach: their agreement (m,) and distance (m,).

    Quantiles, so that the few among them that are copies after all hardly matter.
    """
    if not len(agreement):
        return Limits(least_agreement, most_bits)
    middle, high = np.quantile(agreement, [0.5, 0.9])
    near = np.quantile(distance, 0.1)
    return Limits(
        max(least_agreement, float(middle + _BEYOND * (high - middle))), min(most_bits, int(near * _OF_BITS))
    )
