"""What may be promised of a threshold, and what the last per cent of recall would cost: in figures and in words."""

import math
from typing import Final

import numpy as np
from pydantic import ConfigDict, Field
from scipy.special import expit, logit
from scipy.stats import beta

from tasks.evaluation.intervals import Bools, Floats, Ints
from tasks.evaluation.operating_rule import JudgedImages, OperatingRule
from tasks.evaluation.settings import ThresholdRule
from tasks.evaluation.threshold import group_weights, recall_thresholds
from tasks.evaluation.words import share
from tasks.record import Frozen

CONFIDENCE: Final = 0.9
"""Of the promise: in nine of ten data sets as this one it is kept."""

_LESS_RECALL: Final = 0.05
_STEEP: Final = 0.1
"""Specificity that the last per cent of recall may cost before it is told."""
_NEAR: Final = 1e-12


class RecallPromise(Frozen):
    """The least recall that a threshold may be trusted to have, by the positive images that it was chosen on."""

    model_config = ConfigDict(allow_inf_nan=False)

    positives: int = Field(ge=1, description="Positive images that it was chosen on; a group counts once.")
    missed: int = Field(ge=0, description="Of these, below the threshold.")
    at_least: float = Field(
        ge=0, le=1, description="Recall on unseen images is at least this in 90 % of cases."
    )
    target: float = Field(gt=0, lt=1, description="The recall target.")
    may_miss: int | None = Field(
        description="As many may lie below a threshold of which the target is promised; None where there are too few "
        "positive images for that promise."
    )
    needed: int = Field(
        ge=1, description="Positive images that the promise needs at the very least, none of them missed."
    )

    @property
    def words(self) -> str:
        """For a reader."""
        kept = (
            f"{self.missed} of the {self.positives} positive images that the threshold was chosen on (copies counted "
            f"once) lie below it: nine times in ten it finds at least {share(self.at_least)} of new ones"
        )
        if self.at_least >= self.target:
            return f"{kept}, which keeps the recall target of {share(self.target)}."
        if self.may_miss is None:
            return (
                f"{kept}. The recall target of {share(self.target)} cannot be promised with so few: that "
                f"takes at least {self.needed} positive images."
            )
        return f"{kept}. To promise {share(self.target)}, it may miss at most {self.may_miss} of them."


class LastRecall(Frozen):
    """What specificity the recall target costs, against a lower one; read off the images that choose."""

    model_config = ConfigDict(allow_inf_nan=False)

    target: float = Field(gt=0, lt=1, description="The recall target.")
    specificity: float = Field(ge=0, le=1, description="Specificity at the threshold for it.")
    lower_target: float = Field(ge=0, lt=1, description="A lower target.")
    lower_specificity: float = Field(ge=0, le=1, description="Specificity at the threshold for that.")
    served: float = Field(ge=0, le=1, description="Specificity at the served threshold.")
    negatives: int = Field(ge=1, description="Negative images; a group counts once.")

    @property
    def is_steep(self) -> bool:
        """Whether the last per cent of recall cost very many false alarms."""
        return self.lower_specificity - self.specificity > _STEEP

    @property
    def stopped_short(self) -> bool:
        """Whether the served threshold is not lowered to the target."""
        return self.served > self.specificity + _NEAR

    @property
    def words(self) -> str | None:
        """For a reader, where there is something to say."""
        more = self.lower_specificity - self.specificity
        alarms = f"about {100 * more:.0f} more false alarms in 100 negative images"
        cost = f"From a recall of {share(self.lower_target)} to {share(self.target)} costs {alarms}"
        if self.is_steep and self.stopped_short:
            return f"{cost}: the threshold stops before. Whoever wants the last ones insists on the target."
        if self.is_steep:
            return f"{cost}. A lower recall target, or a harm ratio, would spare most of them."
        return None


class OperatingFacts(Frozen):
    """What is known of the served threshold."""

    promise: RecallPromise = Field(description="The least recall that it may be trusted to have.")
    last_recall: LastRecall | None = Field(description="What the target costs; None without negative images.")

    @property
    def cautions(self) -> tuple[str, ...]:
        """What to be careful about."""
        found = [] if self.promise.may_miss is not None else [self.promise.words]
        steep = self.last_recall.words if self.last_recall else None
        return (*found, *([steep] if steep else []))


def operating_facts(
    images: JudgedImages, served: OperatingRule, positive: int, rule: ThresholdRule
) -> OperatingFacts:
    """Of the served rule, on the images that it was chosen on."""
    truth = images.labels == positive
    scores = served.probabilities(images.logits, images.judges)[:, positive]
    per_class = group_weights(images.labels, images.groups)[1][0]
    threshold = served.threshold or 0.0
    return OperatingFacts(
        promise=recall_promise(truth, scores < threshold, per_class, rule.recall_target),
        last_recall=_last_recall(truth, scores, per_class, threshold, rule),
    )


def recall_promise(truth: Bools, below: Bools, weights: Floats, target: float) -> RecallPromise:
    """By the number of positive observations below the threshold: truth, below and weights are (n,).

    Source: Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404, one-sided.
    """
    n = round(float(weights[truth].sum()))
    missed = min(n, math.ceil(float(weights[truth & below].sum()) - 1e-9))
    # Each further miss lowers what may be trusted.
    kept = int((_trusted(n, np.arange(n)) >= target).sum())
    return RecallPromise(
        positives=n,
        missed=missed,
        at_least=0.0 if missed >= n else float(_trusted(n, np.array([missed]))[0]),
        target=target,
        may_miss=kept - 1 if kept else None,
        needed=math.ceil(math.log(1 - CONFIDENCE) / math.log(target)),
    )


def _trusted(n: int, missed: Ints) -> Floats:
    return np.asarray(beta.ppf(1 - CONFIDENCE, n - missed, missed + 1), dtype=np.float64)


def _last_recall(
    truth: Bools, scores: Floats, weights: Floats, served: float, rule: ThresholdRule
) -> LastRecall | None:
    if not weights[~truth].sum():
        return None
    levels = logit(np.clip(scores[truth], 1e-15, 1 - 1e-15))[None]
    lower_target = max(0.0, rule.recall_target - _LESS_RECALL)

    def specificity(threshold: float) -> float:
        return float(weights[~truth & (scores < threshold)].sum() / weights[~truth].sum())

    at, lower = (
        specificity(float(expit(recall_thresholds(levels, weights[truth][None], target)[0])))
        for target in (rule.recall_target, max(lower_target, 1e-3))
    )
    return LastRecall(
        target=rule.recall_target,
        specificity=at,
        lower_target=lower_target,
        lower_specificity=lower,
        served=specificity(served),
        negatives=round(float(weights[~truth].sum())),
    )
