"""The threshold of a positive class for a recall target, never chosen on the images it is judged on.

An image is called positive when its probability is at least the threshold.
"""

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field

from tasks.errors import DataSetUnusable
from tasks.evaluation.intervals import Estimate, proportion
from tasks.record import Frozen

RECALL_TARGET = 0.95

# The threshold keeps this share of the gap between two neighbouring scores from either, so that rounding in
# another runtime (float32, another batch size) does not flip an image.
_GAP_MARGIN = 0.25
_TIE = 1e-9


class OperatingPoint(Frozen):
    """What one threshold would mean in practice."""

    model_config = ConfigDict(allow_inf_nan=False)

    threshold: float = Field(ge=0, le=1, description="Positive at or above this probability.")
    recall: Estimate = Field(description="Share of positive images found.")
    specificity: Estimate = Field(description="Share of negative images that raise no alarm.")
    precision: Estimate = Field(description="Share of alarms that are right.")
    misses: int = Field(ge=0, description="Positive images below the threshold.")
    false_alarms: int = Field(ge=0, description="Negative images at or above the threshold.")
    misses_per_100: float | None = Field(description="Missed out of 100 positive images.")
    false_alarms_per_100: float | None = Field(description="Alarms out of 100 negative images.")


def choose_threshold(positive: npt.ArrayLike, scores: npt.ArrayLike, target: float = RECALL_TARGET) -> float:
    """Threshold at which recall on unseen images is `target` on average.

    positive (n,) flags, scores (n,) probabilities 0..1. The threshold is the (1 - target) quantile of the
    positive scores at plotting position h = (1 - target)(positives + 1): for exchangeable images the
    expected recall on the next one is then exactly the target, whatever the distribution, whereas the
    plain "highest threshold with enough recall here" falls short of it (simulated, 124 positives: 94.4 %
    instead of 95 %), and "lowest score but k" throws specificity away. Below 1 / (1 - target) - 1 positives
    the target cannot be promised: the lowest positive score is used.
    Source: Weibull 1939; type 6 of Hyndman and Fan 1996, doi:10.1080/00031305.1996.10473566.

    Raises: DataSetUnusable without a positive image, or when scores are no probabilities.
    """
    truth, values = np.asarray(positive, dtype=np.bool_), np.asarray(scores, dtype=np.float64)
    if not truth.any():
        raise DataSetUnusable(
            f"no threshold for a recall of {target:g} can be chosen: none of {truth.size} images is positive",
            cure="check the positive class, or use fewer folds: every training part needs positive images",
        )
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1 or not 0 < target < 1:
        raise DataSetUnusable(
            f"no threshold can be chosen for a target of {target} on {values.min()} to {values.max()}",
            cure="give probabilities 0..1 and a recall target between 0 and 1",
        )
    quantile = float(np.quantile(values[truth], 1 - target, method="weibull"))
    return _inside_gap(quantile, values)


def _inside_gap(threshold: float, scores: npt.NDArray[np.float64]) -> float:
    """Move the threshold off its neighbouring scores without changing which images are positive."""
    above = scores[scores >= threshold - _TIE].min()
    below = scores[scores < threshold - _TIE].max(initial=0.0)
    margin = _GAP_MARGIN * (above - below)
    return float(np.clip(threshold, below + margin, above - margin))


def operating_point(
    positive: npt.ArrayLike, scores: npt.ArrayLike, groups: npt.ArrayLike, threshold: float
) -> OperatingPoint:
    """Figures of one threshold on positive (n,), scores (n,), groups (n,)."""
    truth, group_of = np.asarray(positive, dtype=np.bool_), np.asarray(groups)
    raised = np.asarray(scores, dtype=np.float64) >= threshold
    recall = proportion(raised[truth], group_of[truth], absent="no positive image")
    specificity = proportion(~raised[~truth], group_of[~truth], absent="no negative image")
    return OperatingPoint(
        threshold=threshold,
        recall=recall,
        specificity=specificity,
        precision=proportion(truth[raised], group_of[raised], absent="no alarm at this threshold"),
        misses=int((truth & ~raised).sum()),
        false_alarms=int((~truth & raised).sum()),
        misses_per_100=None if recall.value is None else 100 * (1 - recall.value),
        false_alarms_per_100=None if specificity.value is None else 100 * (1 - specificity.value),
    )


def trade_off(
    positive: npt.ArrayLike,
    scores: npt.ArrayLike,
    groups: npt.ArrayLike,
    targets: tuple[float, ...] = (0.80, 0.85, 0.90, 0.95, 0.975, 0.99),
) -> list[OperatingPoint]:
    """One operating point for each recall target, thresholds descending, doubles left out.

    These thresholds are read off the same scores: they show the choice there is, the evaluation's own
    figures come from cross-fitted thresholds.
    """
    chosen = sorted({choose_threshold(positive, scores, target) for target in targets}, reverse=True)
    return [operating_point(positive, scores, groups, threshold) for threshold in chosen]
