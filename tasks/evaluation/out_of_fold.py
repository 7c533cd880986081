"""From out-of-fold logits to honest probabilities and labels: nothing is fitted on what it is applied to."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from tasks.data.settings import Protocol
from tasks.errors import DataSetUnusable, LeakageError
from tasks.evaluation.calibration import fit_temperature
from tasks.evaluation.threshold import choose_threshold

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class OperatingRule:
    """How logits become a label: a temperature, and a threshold where there is a positive class."""

    temperature: float
    threshold: float | None

    def apply(self, logits: Floats, positive: int | None) -> tuple[Floats, Ints]:
        """Probabilities (n, classes) and predicted class index (n,) of logits (n, classes).

        With a positive class, that class is predicted at or above the threshold, else the likeliest other.
        """
        probabilities = softmax(logits / self.temperature, axis=1)
        if positive is None or self.threshold is None:
            return probabilities, probabilities.argmax(axis=1).astype(np.int64)
        others = probabilities.copy()
        others[:, positive] = -1.0
        is_positive = probabilities[:, positive] >= self.threshold
        return probabilities, np.where(is_positive, positive, others.argmax(axis=1)).astype(np.int64)


@dataclass(frozen=True)
class HonestPredictions:
    """Predictions of the reported images, each by a rule that was chosen without its fold."""

    reported: npt.NDArray[np.bool_]
    probabilities: Floats
    predicted: Ints
    thresholds: Floats
    rules: Mapping[int, OperatingRule]
    served: OperatingRule

    def applied_to(self, logits: Floats, folds: Ints, positive: int | None) -> tuple[Floats, Ints]:
        """The same rules on other logits (n, classes) of the same images: probabilities and predictions as above."""
        return apply_by_fold(self.rules, logits, folds, positive)


def apply_by_fold(
    rules: Mapping[int, OperatingRule], logits: Floats, folds: Ints, positive: int | None
) -> tuple[Floats, Ints]:
    """Probabilities (n, classes) and predicted class index (n,) of logits (n, classes), each by its fold's rule.

    Rows of a fold without a rule have probabilities and predictions of zero.
    """
    probabilities, predicted = np.zeros_like(logits), np.zeros(len(logits), dtype=np.int64)
    for fold, rule in rules.items():
        own = folds == fold
        probabilities[own], predicted[own] = rule.apply(logits[own], positive)
    return probabilities, predicted


def judge(
    labels: Ints,
    logits: Floats,
    folds: Ints,
    *,
    straddling: npt.NDArray[np.bool_],
    reported_folds: frozenset[int],
    positive: int | None,
    recall_target: float,
) -> HonestPredictions:
    """Turn out-of-fold logits (n, classes) into predictions of the reported folds, and the rule to serve.

    The rule of fold k is fitted on the predicted images outside k; where only some folds are reported
    (a hold-out, a given test set), on the images of no reported fold. The served rule uses all images that
    any rule may use. `straddling` rows (n,) have a copy in another fold: they take part in no choice. Rows
    outside the reported folds have probabilities and predictions of zero.

    Raises: DataSetUnusable when nothing is left to fit a rule on; LeakageError when a fold would judge itself.
    """
    every_fold = frozenset(np.unique(folds).tolist())
    cross = reported_folds == every_fold
    thresholds = np.full(len(logits), np.nan)
    rules: dict[int, OperatingRule] = {}
    for fold in sorted(reported_folds & every_fold):
        own = folds == fold
        others = (~own if cross else ~np.isin(folds, list(reported_folds))) & ~straddling
        if (own & others).any():
            raise LeakageError(f"fold {fold} would choose its own threshold", cure="report this as a defect")
        rule = rules[fold] = fit_rule(labels[others], logits[others], positive, recall_target)
        if rule.threshold is not None:
            thresholds[own] = rule.threshold
    probabilities, predicted = apply_by_fold(rules, logits, folds, positive)
    reported = np.isin(folds, list(reported_folds))
    usable = ~straddling if cross else ~reported & ~straddling
    served = fit_rule(labels[usable], logits[usable], positive, recall_target)
    return HonestPredictions(reported, probabilities, predicted, thresholds, rules, served)


def fit_rule(labels: Ints, logits: Floats, positive: int | None, recall_target: float) -> OperatingRule:
    """Fit temperature and threshold to labels (n,) and logits (n, classes)."""
    if labels.size == 0:
        raise DataSetUnusable(
            "no image is left to choose temperature and threshold on",
            cure="use cross-validation, or a split with training images",
        )
    temperature = fit_temperature(labels, logits)
    if positive is None:
        return OperatingRule(temperature, None)
    scores = softmax(logits / temperature, axis=1)[:, positive]
    return OperatingRule(temperature, choose_threshold(labels == positive, scores, recall_target))


def reported_folds(protocol: Protocol, n_folds: int) -> frozenset[int]:
    """The folds whose images the figures cover: all under cross-validation, else the test fold 0."""
    return frozenset(range(n_folds)) if protocol == "cross_validation" else frozenset({0})
