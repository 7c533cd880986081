"""Probabilities that mean what they say: one temperature, and how far predictions are from the truth."""

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from tasks.errors import DataSetUnusable
from tasks.evaluation.intervals import Estimate, Floats, proportion
from tasks.record import Frozen

TEMPERATURE_RANGE = (0.05, 20.0)
N_BINS = 10


class ReliabilityPoint(Frozen):
    """One bin of the reliability diagram: what was said against what was so."""

    model_config = ConfigDict(allow_inf_nan=False)

    predicted: float = Field(ge=0, le=1, description="Mean predicted probability in the bin.")
    observed: Estimate = Field(description="Share of positive images in the bin.")


def negative_log_likelihood(labels: npt.ArrayLike, logits: npt.ArrayLike, temperature: float) -> float:
    """Mean negative log probability, in nats, of labels (n,) under logits (n, classes) over a temperature."""
    scores, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    return float(-log_softmax(scores / temperature, axis=1)[np.arange(truth.size), truth].mean())


def fit_temperature(labels: npt.ArrayLike, logits: npt.ArrayLike) -> float:
    """The temperature, 0.05..20, that minimises the negative log-likelihood of logits (n, classes).

    One factor over all logits (Guo et al. 2017, arXiv:1706.04599). Targets are smoothed as Platt did (1999):
    (n + 1) / (n + classes) for the truth, so that separable predictions do not claim certainty.

    Raises: DataSetUnusable without an image, or when a logit is not finite.
    """
    scores, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    if truth.size == 0 or scores.ndim != 2 or scores.shape[0] != truth.size or not np.isfinite(scores).all():
        raise DataSetUnusable(
            f"no temperature can be fitted to {truth.size} labels and logits of shape {scores.shape}",
            cure="give finite logits (n, classes) of at least one held-out image",
        )
    n_classes = scores.shape[1]
    smoothing = n_classes / (truth.size + n_classes)
    targets = (1 - smoothing) * np.eye(n_classes)[truth] + smoothing / n_classes

    def loss(log_temperature: float) -> float:
        return float(-(targets * log_softmax(scores / np.exp(log_temperature), axis=1)).sum(axis=1).mean())

    low, high = (float(np.log(end)) for end in TEMPERATURE_RANGE)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def equal_mass_bins(probabilities: npt.ArrayLike, n_bins: int = N_BINS) -> list[npt.NDArray[np.int64]]:
    """Indices of each bin: as even in number as ties allow, equal probabilities together.

    Equal-width bins leave most bins of a good classifier nearly empty; equal mass does not
    (Nixon et al. 2019, arXiv:1904.01685).
    """
    values = np.asarray(probabilities, dtype=np.float64)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, n_bins + 1)[1:-1]))
    bins = np.searchsorted(edges, values, side="left")
    return [np.flatnonzero(bins == b) for b in range(edges.size + 1) if (bins == b).any()]


def expected_calibration_error(
    positive: npt.ArrayLike, probabilities: npt.ArrayLike, n_bins: int = N_BINS
) -> float:
    """Mean distance, weighted by images, of predicted from observed share over equal-mass bins; 0..1."""
    truth, values = np.asarray(positive, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    gaps = [abs(float(values[b].mean() - truth[b].mean())) * b.size for b in equal_mass_bins(values, n_bins)]
    return min(1.0, sum(gaps) / values.size)


def reliability_curve(
    positive: npt.ArrayLike, probabilities: npt.ArrayLike, groups: npt.ArrayLike, n_bins: int = N_BINS
) -> list[ReliabilityPoint]:
    """Points of the reliability diagram, ascending, for positive (n,) flags and probabilities (n,)."""
    truth, group_of = np.asarray(positive, dtype=np.bool_), np.asarray(groups)
    values: Floats = np.asarray(probabilities, dtype=np.float64)
    return [
        ReliabilityPoint(
            predicted=float(np.clip(values[b].mean(), 0, 1)),
            observed=proportion(truth[b], group_of[b], absent="empty bin"),
        )
        for b in equal_mass_bins(values, n_bins)
    ]
