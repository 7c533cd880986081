"""One scale for networks that were trained apart: what is added to the logits of each before they are pooled.

Networks of one recipe agree on the order of images far better than on the level of their logits, so a threshold that
was chosen on one network's logits means another on those of the next. Each network is known by its own out-of-fold
images. The middles of its logits, class by class, are set against the middles of all, and as much of the difference is
taken back as is more than chance: empirical Bayes over the networks. A network that is known by few images is left
almost as it is. Only levels are moved, so that the mean of the networks is moved by the mean of their offsets alone.
"""

from typing import Final

import numpy as np

from tasks.evaluation.intervals import Bools, Floats, Ints

TRIMMED: Final = 0.2
"""Share that is cut off at either end before the middle is taken: wrong labels and the easiest images."""


def centred(logits: Floats) -> Floats:
    """Logits (n, classes) less their mean over the classes, which no probability depends on."""
    return np.asarray(logits - logits.mean(axis=1, keepdims=True), dtype=np.float64)


def member_offsets(labels: Ints, logits: Floats, members: Ints, n_members: int, weights: Floats) -> Floats:
    """What is to be added to the centred logits (n, classes) of each member: (b, n_members, classes).

    One for each row of the image weights (b, n). `members` (n,) says whose logits a row holds; rows of -1 are a mean of
    several and tell nothing. The offsets of the members are zero on average, and over the classes.
    Sources: DerSimonian and Laird 1986, doi:10.1016/0197-2456(86)90046-2, for the variance between members; Tukey and
    McLaughlin 1963 for that of a trimmed mean.
    """
    n_classes = logits.shape[1]
    found = np.zeros((len(weights), n_members, n_classes))
    told = np.zeros((len(weights), n_members))
    noise = np.zeros((len(weights), n_members, n_classes))
    if n_members < 2:
        return found
    for label in np.unique(labels).tolist():
        cells = [np.flatnonzero((labels == label) & (members == member)) for member in range(n_members)]
        own = np.flatnonzero((labels == label) & (members >= 0))
        if not own.size:
            continue
        grand = _middles(logits[own], weights[:, own])[0]
        for member, rows in enumerate(cells):
            if not rows.size:
                continue
            middle, variance, n = _middles(logits[rows], weights[:, rows])
            found[:, member] += n[:, None] * np.where(n[:, None] > 0, middle - grand, 0.0)
            noise[:, member] += n[:, None] ** 2 * variance
            told[:, member] += n
    known = np.maximum(told, 1e-12)[:, :, None]
    found, noise = found / known, noise / known**2
    return _shrunk(found, noise, told > 0)


def _middles(values: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Trimmed means (b, classes) of values (n, classes) under weights (b, n), their variance, and the total weight."""
    total = weights.sum(axis=1)
    safe = np.maximum(total, 1e-12)[:, None]
    means, variances = [], []
    for column in values.T:
        order = np.argsort(column)
        ranked, own = column[order], weights[:, order] / safe
        upper = np.clip(np.cumsum(own, axis=1), TRIMMED, 1 - TRIMMED)
        kept = np.diff(upper, axis=1, prepend=TRIMMED) / (1 - 2 * TRIMMED)
        mean = kept @ ranked
        inside = kept * (1 - 2 * TRIMMED)
        first = (np.cumsum(own, axis=1) < TRIMMED).sum(axis=1).clip(0, ranked.size - 1)
        last = (np.cumsum(own, axis=1) < 1 - TRIMMED).sum(axis=1).clip(0, ranked.size - 1)
        spread = inside @ ranked**2 - 2 * mean * (inside @ ranked) + (1 - 2 * TRIMMED) * mean**2
        spread += TRIMMED * ((ranked[first] - mean) ** 2 + (ranked[last] - mean) ** 2)
        means.append(mean)
        variances.append(np.maximum(spread, 1e-12) / (1 - 2 * TRIMMED) ** 2 / safe[:, 0])
    return np.stack(means, axis=1), np.stack(variances, axis=1), total


def _shrunk(found: Floats, noise: Floats, known: Bools) -> Floats:
    """Of the differences (b, members, classes) between members as much as is more than their sampling noise."""
    precision = np.where(known[:, :, None], 1 / np.maximum(noise, 1e-12), 0.0)
    total = np.maximum(precision.sum(axis=1, keepdims=True), 1e-12)
    level = (precision * found).sum(axis=1, keepdims=True) / total
    excess = (precision * (found - level) ** 2).sum(axis=1, keepdims=True)
    freedom = np.maximum(known.sum(axis=1) - 1, 0)[:, None, None]
    denominator = total - (precision**2).sum(axis=1, keepdims=True) / total
    between = np.maximum(0.0, (excess - freedom) / np.maximum(denominator, 1e-12))
    # One variance for all classes: their offsets are one vector.
    between = between.mean(axis=2, keepdims=True)
    weight = np.where(known[:, :, None], between / (between + noise + 1e-12), 0.0)
    offsets = -weight * (found - level)
    offsets -= offsets.mean(axis=1, keepdims=True)
    return np.asarray(offsets - offsets.mean(axis=2, keepdims=True), dtype=np.float64)
