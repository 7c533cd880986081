"""What is served, measured on images that came since it was made: its own graph and threshold, nothing chosen anew."""

from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import AwareDatetime, Field

from tasks.evaluation.calibration_figures import observed_over_expected
from tasks.evaluation.intervals import Estimate, group_index, undefined
from tasks.evaluation.metrics import evaluate
from tasks.evaluation.words import as_reason
from tasks.record import Frozen

SURE_OF: Final = 20
"""Positive images from which a recall below the bar is told as such; of fewer, the whole interval must be below it."""


class ServedFigures(Frozen):
    """A version as it is served, on labelled images that it had no part in."""

    version: str = Field(description="The version that is served.")
    made: AwareDatetime = Field(description="When its bundle was made.")
    n: int = Field(ge=1, description="Images.")
    n_groups: int = Field(ge=1, description="Groups of copies (or patients) among them.")
    n_positive: int = Field(
        ge=0, description="Images of the positive class; of all classes where none is named."
    )
    figures_of: str = Field(description="What recall and specificity are of.")
    recall: Estimate = Field(description="Recall at its threshold.")
    specificity: Estimate = Field(description="Specificity at its threshold.")
    auc: Estimate = Field(description="Area under the ROC curve.")
    observed_over_expected: Estimate = Field(
        description="Findings for each that its probabilities promise: 1 is right, above 1 they are too low."
    )

    def recall_is_below(self, bar: float) -> bool:
        """Whether people must be told that it finds too few."""
        recall = self.recall
        if recall.value is None or recall.upper is None:
            return False
        return recall.upper < bar or (recall.value < bar and self.n_positive >= SURE_OF)

    def in_words(self) -> str:
        """One sentence with every figure."""
        told = [
            as_reason(name, figure) if figure.value is not None else f"{name} unknown ({figure.reason})"
            for name, figure in (
                ("recall", self.recall),
                ("specificity", self.specificity),
                ("findings observed for each expected", self.observed_over_expected),
            )
        ]
        return (
            f"version {self.version}, as it is served, on {self.n} labelled images in {self.n_groups} groups that came "
            f"since it was made: {', '.join(told)}"
        )


def served_figures(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    predicted: npt.ArrayLike,
    groups: npt.ArrayLike,
    *,
    classes: list[str],
    positive_class: str | None,
    version: str,
    made: AwareDatetime,
) -> ServedFigures:
    """Count what the served model said: labels, predicted and groups (n,), probabilities (n, classes)."""
    evaluation = evaluate(
        labels,
        probabilities,
        predicted,
        groups,
        classes,
        positive_class=positive_class,
        protocol="given_split",
    )
    truth = np.asarray(labels, dtype=np.int64)
    ratio = undefined("there is no positive class", truth.size)
    positives = truth.size
    if positive_class is not None:
        positive = truth == classes.index(positive_class)
        positives = int(positive.sum())
        ratio = undefined("there is no positive image among them", truth.size)
        if positives:
            chance = np.asarray(probabilities, dtype=np.float64)[:, classes.index(positive_class)]
            ratio = observed_over_expected(
                positive.astype(np.float64), np.maximum(chance, 1e-6), group_index(groups)
            )
    return ServedFigures(
        version=version,
        made=made,
        n=evaluation.n,
        n_groups=evaluation.n_groups,
        n_positive=positives,
        figures_of=evaluation.figures_of,
        recall=evaluation.recall,
        specificity=evaluation.specificity,
        auc=evaluation.auc,
        observed_over_expected=ratio,
    )
