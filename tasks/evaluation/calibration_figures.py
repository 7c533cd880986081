"""Whether probabilities are what they say: observed against expected, slope, intercept and a smooth curve.

What is asked for by Van Calster et al. 2019, doi:10.1186/s12916-019-1466-7, and TRIPOD+AI. Intervals come
from a jackknife over groups of copies (Bell and McCaffrey 2002), with Student's quantile on their number.
"""

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field
from scipy.special import expit, logit
from scipy.stats import t as student

from tasks.evaluation import intervals
from tasks.evaluation.calibration import expected_calibration_error
from tasks.evaluation.intervals import Estimate, Floats, Ints, group_index, percentile, undefined
from tasks.record import Frozen

_FLOOR = 1e-6
_STEPS = 60
_SAMPLES = 400
_CURVE_POINTS = 41
_KNOTS = (0.05, 0.35, 0.65, 0.95)
"""Quantiles at which the curve may bend: Harrell, Regression Modeling Strategies, table 2.3, for four."""
_FEWEST_FOR_A_CURVE = 20
_APART = "the classes are fully apart: no slope fits them"
_ONE_GROUP = "all images are of one group: nothing tells how sure it is"
_METHOD = "jackknife over groups"


class CurvePoint(Frozen):
    """One point of the smooth curve."""

    model_config = ConfigDict(allow_inf_nan=False)

    predicted: float = Field(ge=0, le=1, description="Probability that is given.")
    observed: float = Field(ge=0, le=1, description="How often it is so, smoothed.")
    lower: float = Field(ge=0, le=1, description="Lower end of the pointwise 95 % band.")
    upper: float = Field(ge=0, le=1, description="Upper end.")


class CalibrationFigures(Frozen):
    """How far the probabilities of the finding can be taken at their word."""

    model_config = ConfigDict(allow_inf_nan=False)

    expected: float = Field(ge=0, le=1, description="Mean of the probabilities.")
    observed: float = Field(ge=0, le=1, description="Share of images with the finding.")
    ratio: Estimate = Field(
        description="Observed over expected; 1 is right, below 1 the probabilities are too high."
    )
    in_the_large: Estimate = Field(
        description="What must be added to all log-odds for the mean to be right: 0, or less where they are too high."
    )
    slope: Estimate = Field(
        description="Calibration slope; 1 is right, below 1 the probabilities are too extreme, above it too timid."
    )
    intercept: Estimate = Field(description="Of the line with that slope; 0 is right where the slope is 1.")
    scaled_brier: Estimate = Field(
        description="Brier score as a share of what always saying the prevalence would lose: 1 is perfect, 0 useless."
    )
    ece: float = Field(ge=0, le=1, description="Expected calibration error over ten bins.")
    ece_by_chance: float = Field(
        ge=0,
        le=1,
        description="What the same would be, on average, for perfectly calibrated probabilities such as these.",
    )
    curve: tuple[CurvePoint, ...] = Field(description="The smooth curve; empty where there is too little.")


def calibration_figures(
    positive: npt.ArrayLike, probabilities: npt.ArrayLike, groups: npt.ArrayLike
) -> CalibrationFigures:
    """Of positive (n,) flags, both kinds present, probabilities (n,) and groups (n,)."""
    truth = np.asarray(positive, dtype=np.float64)
    chance = np.clip(np.asarray(probabilities, dtype=np.float64), _FLOOR, 1 - _FLOOR)
    index = group_index(groups)
    slope, intercept = slope_and_intercept(truth, chance, index)
    return CalibrationFigures(
        expected=float(chance.mean()),
        observed=float(truth.mean()),
        ratio=observed_over_expected(truth, chance, index),
        in_the_large=shift_in_the_large(truth, chance, index),
        slope=slope,
        intercept=intercept,
        scaled_brier=_scaled_brier(truth, chance, index),
        ece=expected_calibration_error(truth, chance),
        ece_by_chance=_by_chance(chance, index),
        curve=_curve(truth, chance, index),
    )


def observed_over_expected(truth: Floats, chance: Floats, index: Ints) -> Estimate:
    """How many findings there are for each that the probabilities promise: truth 0 or 1, all (n,)."""
    value = float(truth.sum() / chance.sum())
    if index.max() == 0:
        return Estimate(value=value, n=truth.size, reason=_ONE_GROUP)
    error = _standard_error((truth - value * chance)[:, None], index) / float(truth.sum())
    half = _quantile(index) * float(error[0])
    return Estimate(
        value=value,
        lower=value * float(np.exp(-half)),
        upper=value * float(np.exp(half)),
        n=truth.size,
        method=_METHOD,
    )


def shift_in_the_large(truth: Floats, chance: Floats, index: Ints) -> Estimate:
    """What must be added to all log-odds for the mean to be right."""
    offset, ones = logit(chance), np.ones((truth.size, 1))
    found = _fit(truth, ones, offset)
    if found is None:
        return undefined("no shift makes the mean right", truth.size)
    return _estimates(found, _covariance(truth, ones, found, offset, index), index)[0]


def slope_and_intercept(truth: Floats, chance: Floats, index: Ints) -> tuple[Estimate, Estimate]:
    """Slope and intercept of the truth's log-odds on the predicted ones."""
    scores = logit(chance)
    absent = undefined(_APART, truth.size)
    if np.ptp(scores) < _FLOOR:
        absent = undefined("all probabilities are the same", truth.size)
        return absent, absent
    if _apart(truth, scores):
        return absent, absent
    design = np.stack([np.ones_like(scores), scores], axis=1)
    found = _fit(truth, design)
    if found is None:
        return absent, absent
    intercept, slope = _estimates(found, _covariance(truth, design, found, 0.0, index), index)
    return slope, intercept


def _apart(truth: Floats, scores: Floats) -> bool:
    """Whether some threshold tells the classes apart without an error, either way round."""
    yes, no = scores[truth == 1], scores[truth == 0]
    return bool(yes.min() >= no.max() or no.min() >= yes.max())


def _scaled_brier(truth: Floats, chance: Floats, index: Ints) -> Estimate:
    columns = np.stack([(chance - truth) ** 2, truth], axis=1)

    def scaled(weights: Floats) -> Floats:
        loss, share = (weights @ columns / weights.sum(axis=1, keepdims=True)).T
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(1 - loss / (share * (1 - share)), dtype=np.float64)[:, None]

    replicates = intervals.bootstrap(scaled, index, resamples=_SAMPLES, seed=0)[:, 0]
    return percentile(float(scaled(np.ones((1, truth.size)))[0, 0]), replicates, truth.size)


def _by_chance(chance: Floats, index: Ints) -> float:
    """The mean calibration error where every probability is right; copies of an image share their truth."""
    rng = np.random.default_rng(0)
    drawn = (rng.random(int(index.max()) + 1)[index] < chance for _ in range(_SAMPLES // 2))
    return float(np.mean([expected_calibration_error(truth, chance) for truth in drawn]))


def _curve(truth: Floats, chance: Floats, index: Ints) -> tuple[CurvePoint, ...]:
    """A logistic regression on a natural cubic spline of the predicted log-odds."""
    scores = logit(chance)
    rarer = min(truth.sum(), truth.size - truth.sum())
    knots = np.quantile(scores, _KNOTS)
    if (
        index.max() == 0
        or rarer < _FEWEST_FOR_A_CURVE
        or np.diff(knots).min() < 1e-3
        or _apart(truth, scores)
    ):
        return ()
    design = _spline(scores, knots)
    found = _fit(truth, design)
    if found is None:
        return ()
    covariance = _covariance(truth, design, found, 0.0, index)
    first, last = np.quantile(chance, [0.025, 0.975])
    shown = np.linspace(first, last, _CURVE_POINTS)
    at = _spline(logit(shown), knots)
    middle = at @ found
    half = _quantile(index) * np.sqrt(np.einsum("ij,jk,ik->i", at, covariance, at))
    rows = zip(shown, *(expit(line) for line in (middle, middle - half, middle + half)), strict=True)
    return tuple(
        CurvePoint(predicted=float(x), observed=float(y), lower=float(low), upper=float(high))
        for x, y, low, high in rows
    )


def _spline(scores: Floats, knots: Floats) -> Floats:
    """Columns (n, knots) of a natural cubic spline: 1, the scores, and one for each knot but the last two."""
    last, before = knots[-1], knots[-2]

    def beyond(knot: float) -> Floats:
        return np.asarray(np.maximum(scores - knot, 0) ** 3, dtype=np.float64)

    bends = [
        (
            beyond(knot)
            - beyond(before) * (last - knot) / (last - before)
            + beyond(last) * (before - knot) / (last - before)
        )
        / (last - knots[0]) ** 2
        for knot in knots[:-2]
    ]
    return np.stack([np.ones_like(scores), scores, *bends], axis=1)


def _fit(truth: Floats, design: Floats, offset: Floats | float = 0.0) -> Floats | None:
    """Coefficients (k,) of a logistic regression by Newton's method; None where it does not come to rest."""
    found = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        fitted = expit(design @ found + offset)
        weight = np.maximum(fitted * (1 - fitted), 1e-12)
        try:
            step = np.linalg.solve(design.T @ (design * weight[:, None]), design.T @ (truth - fitted))
        except np.linalg.LinAlgError:
            return None
        longest = float(np.abs(step).max())
        found = found + step * min(1.0, 2.0 / max(longest, 1e-12))
        if longest < 1e-8:
            return np.asarray(found, dtype=np.float64)
    return None


def _covariance(truth: Floats, design: Floats, found: Floats, offset: Floats | float, index: Ints) -> Floats:
    """Of the coefficients (k, k), by a jackknife that leaves out one group at a time and takes one step each.

    The plain sandwich is too narrow for few groups: the slope of 63 groups of 4 covered 92 %, of 12 groups of 5 88 %.
    """
    fitted = expit(design @ found + offset)
    weight = np.maximum(fitted * (1 - fitted), 1e-12)
    k = design.shape[1]
    products = (design[:, :, None] * design[:, None, :] * weight[:, None, None]).reshape(-1, k * k)
    by_group = _group_sums(products, index).reshape(-1, k, k)
    pulls = _group_sums(design * (truth - fitted)[:, None], index)
    # A touch of ridge: without one group there may be nothing left to fit.
    total = by_group.sum(axis=0)
    without = total - by_group + 1e-9 * np.trace(total) * np.eye(k)
    moved = np.linalg.solve(without, pulls[:, :, None])[:, :, 0]
    groups = len(pulls)
    return np.asarray(moved.T @ moved * (groups - 1) / groups, dtype=np.float64)


def _standard_error(residuals: Floats, index: Ints) -> Floats:
    """Of sums over images (n, k), by what stands in one group together: (k,)."""
    sums = _group_sums(residuals, index)
    groups = len(sums)
    return np.asarray(np.sqrt((sums**2).sum(axis=0) * groups / max(groups - 1, 1)), dtype=np.float64)


def _group_sums(rows: Floats, index: Ints) -> Floats:
    return np.stack([np.bincount(index, weights=column) for column in rows.T], axis=1)


def _quantile(index: Ints) -> float:
    return float(student.ppf(0.5 + intervals.CONFIDENCE / 2, max(int(index.max()), 1)))


def _estimates(found: Floats, covariance: Floats, index: Ints) -> list[Estimate]:
    if index.max() == 0:
        return [Estimate(value=float(value), n=index.size, reason=_ONE_GROUP) for value in found]
    half = _quantile(index) * np.sqrt(np.diag(covariance))
    return [
        Estimate(
            value=float(value),
            lower=float(value - width),
            upper=float(value + width),
            n=index.size,
            method=_METHOD,
        )
        for value, width in zip(found, half, strict=True)
    ]
