"""How sure a figure is: 95 % intervals that stay honest when images come in groups of copies.

A Wilson interval takes images for independent. Copies of one image are predicted alike, so a data set of
253 images in 198 groups says less than 253 separate ones. A proportion here is therefore a Wilson interval
on an effective number of images, n / design effect. The design effect is estimated from the groups
(Taylor linearisation, as in Korn and Graubard 1998), never below 1 nor above that of perfectly correlated
groups (Kish 1965), and drawn towards the latter while there are too few of the rarer outcome to estimate it:
at 100 % recall nothing can be estimated, and the groups count as one image each. Simulated coverage of the
95 % interval is between 94 and 100 % (tests/evaluation/test_intervals.py).

Figures that are no proportion (AUC, average precision, Brier score, log loss, macro means) get a percentile
bootstrap over groups.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field, model_validator
from scipy.optimize import brentq
from scipy.stats import norm

from tasks.record import Frozen

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Statistic = Callable[[Floats], Floats]

CONFIDENCE = 0.95
Z = float(norm.ppf(0.5 + CONFIDENCE / 2))
RESAMPLES = 2000

# Weight of the assumption that copies are predicted alike, in images of the rarer outcome. Chosen by
# simulation on copies and on patients with many slices: without it coverage falls to 85 %.
_PRIOR_IMAGES = 10.0

# Elements of one block of bootstrap weights: 32 MB of float64, whatever the number of images.
_BLOCK_ELEMENTS = 4_000_000


class Estimate(Frozen):
    """A figure, its 95 % interval and the number of images that it rests on.

    `value` is None when the figure is undefined, `lower` and `upper` when no interval can be given; `reason`
    then says why. NaN never stands in either.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    value: float | None = Field(description="The figure itself.")
    lower: float | None = Field(default=None, description="Lower end of the 95 % interval.")
    upper: float | None = Field(default=None, description="Upper end of the 95 % interval.")
    n: int = Field(ge=0, description="Images that the figure rests on.")
    method: str = Field(default="", description="How the interval was made.")
    reason: str | None = Field(default=None, description="Why the figure or its interval is undefined.")

    @model_validator(mode="after")
    def _ordered(self) -> "Estimate":
        if (self.lower is None) != (self.upper is None):
            raise ValueError("an interval has both ends or neither")
        if self.value is None and self.lower is not None:
            raise ValueError("an undefined figure has no interval")
        if self.lower is None or self.upper is None or self.value is None:
            if self.reason is None:
                raise ValueError("an undefined figure or interval needs a reason")
        elif not self.lower <= self.value <= self.upper:
            raise ValueError(f"{self.value} lies outside its interval {self.lower} to {self.upper}")
        return self


def undefined(reason: str, n: int = 0) -> Estimate:
    """A figure that cannot be given, and why."""
    return Estimate(value=None, n=n, reason=reason)


def wilson(proportion: float, n: float) -> tuple[float, float]:
    """Wilson score interval of a proportion of `n` images; `n` may be an effective, fractional number.

    Source: Wilson 1927, doi:10.1080/01621459.1927.10502953.
    """
    scale = 1 + Z**2 / n
    centre = (proportion + Z**2 / (2 * n)) / scale
    half = Z / scale * float(np.sqrt(proportion * (1 - proportion) / n + Z**2 / (4 * n**2)))
    # At 0 and 1 the ends are exact; rounding must not put the figure outside its own interval.
    return min(max(0.0, centre - half), proportion), max(min(1.0, centre + half), proportion)


def group_index(groups: npt.ArrayLike) -> Ints:
    """Number the groups: any labels (n,) → int64 (n,) in 0..groups-1."""
    return np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64).reshape(-1)


def effective_size(hits: Bools, groups: npt.ArrayLike) -> float:
    """Independent images that `hits` (n,) in `groups` (n,) are worth, between the Kish bound and n.

    Sources: Kish 1965, Survey Sampling (n² / Σ m²); Korn and Graubard 1998, Survey Methodology 24-2
    (design effect of a proportion in clusters).
    """
    index = group_index(groups)
    sizes = np.bincount(index).astype(np.float64)
    n, n_groups = float(hits.size), sizes.size
    kish_effect = float((sizes**2).sum()) / n
    rate = float(hits.mean())
    if n_groups < 2 or rate in (0.0, 1.0):
        return n / kish_effect
    residual = np.bincount(index, weights=hits.astype(np.float64)) - rate * sizes
    variance = n_groups / (n_groups - 1) * float((residual**2).sum()) / n**2
    estimated = float(np.clip(variance / (rate * (1 - rate) / n), 1.0, kish_effect))
    rarer = min(float(hits.sum()), n - float(hits.sum()))
    trust = rarer / (rarer + _PRIOR_IMAGES)
    return n / (trust * estimated + (1 - trust) * kish_effect)


def proportion(hits: npt.ArrayLike, groups: npt.ArrayLike, *, absent: str) -> Estimate:
    """Share of true in `hits` (n,), with a Wilson interval on the effective number of images.

    `absent` is the reason given when there is no image at all.
    """
    flags = np.asarray(hits, dtype=np.bool_)
    if flags.size == 0:
        return undefined(absent)
    rate = float(flags.mean())
    lower, upper = wilson(rate, effective_size(flags, groups))
    return Estimate(value=rate, lower=lower, upper=upper, n=flags.size, method="Wilson, effective n")


def mean_of_proportions(parts: list[Estimate], n: int) -> Estimate:
    """Mean of independent proportions, such as balanced accuracy, by the square-and-add rule.

    Unlike a bootstrap it keeps its width when every image is predicted rightly. Source: MOVER, Zou and
    Donner 2008, doi:10.1002/sim.3095.
    """
    known = [(p.value, p.lower, p.upper) for p in parts]
    values, lowers, uppers = (np.array(column, dtype=np.float64) for column in zip(*known, strict=True))
    if np.isnan(values).any():
        missing = next(part.reason for part in parts if part.value is None)
        return undefined(missing or "a part is undefined", n)
    mean = float(values.mean())
    below = float(np.sqrt(((values - lowers) ** 2).sum())) / len(parts)
    above = float(np.sqrt(((uppers - values) ** 2).sum())) / len(parts)
    return Estimate(
        value=mean, lower=max(0.0, mean - below), upper=min(1.0, mean + above), n=n, method="MOVER"
    )


def auc_interval(auc: float, n_positive: float, n_negative: float) -> tuple[float, float]:
    """Closed-form interval of an AUC on effective class sizes; keeps its width at an AUC of 1.

    Source: Newcombe 2006, method 5, doi:10.1002/sim.2324 (score interval on the Hanley-McNeil variance).
    """
    spread = (n_positive + n_negative) / 2 - 1

    def excess(theta: float) -> float:
        shape = 1 + max(spread, 0.0) * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return (auc - theta) ** 2 - Z**2 * theta * (1 - theta) * shape / (n_positive * n_negative)

    # At 0 and 1 the figure itself is a root too: start beside it.
    lower = 0.0 if auc <= 0 else float(brentq(excess, 0.0, min(auc, 1 - 1e-12)))
    upper = 1.0 if auc >= 1 else float(brentq(excess, max(auc, 1e-12), 1.0))
    return min(lower, auc), max(upper, auc)


def resampled_weights(groups: npt.ArrayLike, resamples: int, seed: int) -> Iterator[Floats]:
    """Blocks (b, n) of how often each image is drawn when its groups are drawn with replacement."""
    index = group_index(groups)
    n_groups = int(index.max()) + 1
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK_ELEMENTS // max(index.size, n_groups))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(0, n_groups, size=(rows, n_groups))
        drawn += np.arange(rows)[:, None] * n_groups
        counts = np.bincount(drawn.reshape(-1), minlength=rows * n_groups).reshape(rows, n_groups)
        yield counts.astype(np.float64)[:, index]


def bootstrap(statistic: Statistic, groups: npt.ArrayLike, *, resamples: int, seed: int) -> Floats:
    """Values (resamples, k) of a statistic that maps image weights (b, n) to figures (b, k).

    Groups are drawn with replacement, all images of a drawn group come along. NaN marks a resample in which a
    figure is undefined. Source: Field and Welsh 2007, doi:10.1111/j.1467-9868.2007.00593.x.
    """
    return np.concatenate([statistic(weights) for weights in resampled_weights(groups, resamples, seed)])


def percentile(value: float | None, replicates: Floats, n: int, *, reason: str | None = None) -> Estimate:
    """Percentile interval of one figure from its replicates (resamples,); undefined ones are left out."""
    if value is None or not np.isfinite(value):
        return undefined(reason or "the figure is undefined on these images", n)
    known = replicates[np.isfinite(replicates)]
    if known.size * 2 < replicates.size or known.size == 0:
        why = "too few groups: the figure is undefined in most resamples"
        return Estimate(value=value, n=n, method="bootstrap over groups", reason=why)
    if np.ptp(known) < 1e-12:
        why = "every resample gives the same figure: too few errors for an interval"
        return Estimate(value=value, n=n, method="bootstrap over groups", reason=why)
    tail = (1 - CONFIDENCE) / 2
    lower, upper = (float(q) for q in np.quantile(known, [tail, 1 - tail]))
    # A biased statistic may fall outside its own percentiles: the interval then reaches to it.
    return Estimate(
        value=value, lower=min(lower, value), upper=max(upper, value), n=n, method="bootstrap over groups"
    )


@dataclass(frozen=True)
class Ranking:
    """Scores sorted once, so that AUC and average precision of many resamples are sums along rows."""

    order: Ints
    starts: Ints
    positive: Floats
    scores: Floats

    @classmethod
    def of(cls, scores: npt.ArrayLike, positive: npt.ArrayLike) -> "Ranking":
        """Sort `scores` (n,) downwards with their `positive` flags (n,)."""
        values = np.asarray(scores, dtype=np.float64)
        order = np.argsort(-values, kind="stable").astype(np.int64)
        ranked = values[order]
        starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]]).astype(np.int64)
        return cls(order, starts, np.asarray(positive, dtype=np.float64)[order], ranked[starts])

    def counts(self, weights: Floats) -> tuple[Floats, Floats]:
        """Weighted positives and negatives (b, distinct scores) at each score, downwards."""
        ranked = weights[:, self.order]
        hits = np.add.reduceat(ranked * self.positive, self.starts, axis=1)
        return hits, np.add.reduceat(ranked, self.starts, axis=1) - hits

    def figures(self, weights: Floats) -> Floats:
        """AUC (ties count half) and average precision (b, 2); NaN without both classes.

        Average precision is the sum of precision over recall steps, as in scikit-learn.
        """
        hits, alarms = self.counts(weights)
        found, raised = np.cumsum(hits, axis=1), np.cumsum(alarms, axis=1)
        positives, negatives = found[:, -1], raised[:, -1]
        with np.errstate(divide="ignore", invalid="ignore"):
            later = negatives[:, None] - raised
            auc = (hits * (later + alarms / 2)).sum(axis=1) / (positives * negatives)
            steps = np.where(hits > 0, hits * found / (found + raised), 0.0)
            precision = np.where(negatives > 0, steps.sum(axis=1) / positives, np.nan)
        return np.stack([auc, precision], axis=1)
