"""Probabilities that mean what they say: one slope and an offset for each class, fitted to out-of-fold logits.

With two classes this is Platt's scaling; with more, temperature scaling with the correction of the classes' levels that
a training on balanced classes needs (Alexandari et al. 2020, arXiv:1901.06852). One factor alone cannot say how common
a class is.
"""

from typing import Final

import numpy as np
from scipy.special import softmax

from tasks.evaluation.intervals import Floats, Ints

SLOPES: Final = (0.05, 20.0)
"""Within which a slope stays."""

_RIDGE: Final = 0.25
"""Of a prior with standard deviation 2 on the logarithm of the slope and on each offset: a single image of evidence
against data that cannot tell, as where the classes are apart, and nothing beside a hundred images."""

_STEPS: Final = 60
_SETTLED: Final = 1e-6


def fit_scale(
    labels: Ints, logits: Floats, weights: Floats, start: tuple[Floats, Floats] | None = None
) -> tuple[Floats, Floats]:
    """Slopes (b,) and offsets (b, classes) that make softmax(slope * logits + offset) the likeliest, for each row.

    labels (n,), centred logits (b, n, classes) or (1, n, classes), image weights (b, n). Targets are smoothed as Platt
    did (1999), so that separable classes do not claim certainty. Fisher scoring with a ridge towards (1, 0), from a
    slope (1,) and offsets (1, classes) to `start` with.
    """
    n_classes = logits.shape[2]
    total = weights.sum(axis=1)
    smoothing = n_classes / (total + n_classes)
    truth = np.eye(n_classes)[labels]
    targets = (1 - smoothing)[:, None, None] * truth + (smoothing / n_classes)[:, None, None]
    steepness, offsets = np.zeros(len(weights)), np.zeros((len(weights), n_classes))
    if start is not None:
        steepness, offsets = steepness + np.log(start[0]), offsets + start[1]
    low, high = np.log(SLOPES)
    for _ in range(_STEPS):
        slope = np.exp(steepness)
        chance = softmax(slope[:, None, None] * logits + offsets[:, None, :], axis=2)
        error = weights[:, :, None] * (chance - targets)
        gradient = np.concatenate(
            [
                (slope * (error * logits).sum(axis=(1, 2)) + _RIDGE * steepness)[:, None],
                error.sum(axis=1) + _RIDGE * offsets,
            ],
            axis=1,
        )
        step = np.linalg.solve(_information(slope, chance, logits, weights), gradient[:, :, None])[:, :, 0]
        step *= np.minimum(1.0, 1.0 / np.maximum(np.abs(step).max(axis=1), 1e-12))[:, None]
        steepness = np.clip(steepness - step[:, 0], low, high)
        offsets = offsets - step[:, 1:]
        if np.abs(step).max(initial=0.0) < _SETTLED:
            break
    return np.exp(steepness), offsets - offsets.mean(axis=1, keepdims=True)


def _information(slope: Floats, chance: Floats, logits: Floats, weights: Floats) -> Floats:
    """Expected information (b, 1 + classes, 1 + classes) of log slope and offsets, with the ridge."""
    n_classes = chance.shape[2]
    weighted = weights[:, :, None] * chance
    mean = (chance * logits).sum(axis=2, keepdims=True)
    whole = np.zeros((len(slope), 1 + n_classes, 1 + n_classes))
    whole[:, 0, 0] = slope**2 * (weights * ((chance * logits**2).sum(axis=2) - mean[:, :, 0] ** 2)).sum(
        axis=1
    )
    whole[:, 0, 1:] = slope[:, None] * (weighted * (logits - mean)).sum(axis=1)
    whole[:, 1:, 0] = whole[:, 0, 1:]
    whole[:, 1:, 1:] = -np.einsum("bnc,bnd->bcd", weighted, chance, optimize=True)
    every = np.arange(1, 1 + n_classes)
    whole[:, every, every] += weighted.sum(axis=1)
    diagonal = np.arange(1 + n_classes)
    whole[:, diagonal, diagonal] += _RIDGE
    return whole
