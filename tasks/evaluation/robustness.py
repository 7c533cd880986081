"""Robustness: the same images after small changes, judged by the same rule."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from tasks.data.settings import Protocol
from tasks.evaluation.intervals import Estimate, Floats, Ints, proportion
from tasks.evaluation.metrics import Evaluation, evaluate
from tasks.record import Frozen

UNCHANGED = "unchanged"
_RESAMPLES = 400


class AfterChange(Frozen):
    """The figures of the sample after one change."""

    change: str = Field(description="What was done to each image.")
    recall: Estimate = Field(description="Recall, of the finding or the mean over classes.")
    specificity: Estimate = Field(description="Specificity likewise.")
    auc: Estimate = Field(description="AUC likewise.")
    other_answer: Estimate = Field(
        description="Share of the images that are given another class than unchanged."
    )


def sample_of_each_class(predictions: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most so many rows, one a group, as many of each class as there are; by digest, so that no one chooses.

    `predictions` has sha256, group and label.
    """
    first = predictions.sort_values("sha256", kind="stable").drop_duplicates("group")
    place = first.groupby("label").cumcount()
    return (
        first.assign(place=place)
        .sort_values(["place", "sha256"], kind="stable")
        .head(most)
        .drop(columns="place")
    )


def after_change(
    change: str,
    labels: Ints,
    groups: npt.ArrayLike,
    judged: tuple[Floats, Ints],
    unchanged: Ints,
    classes: list[str],
    *,
    positive_class: str | None,
    protocol: Protocol,
) -> AfterChange:
    """Figures of probabilities (n, classes) and predicted classes (n,); `unchanged` are those predicted before."""
    probabilities, predicted = judged
    found: Evaluation = evaluate(
        labels,
        probabilities,
        predicted,
        groups,
        classes,
        positive_class=positive_class,
        protocol=protocol,
        resamples=_RESAMPLES,
    )
    return AfterChange(
        change=change,
        recall=found.recall,
        specificity=found.specificity,
        auc=found.auc,
        other_answer=proportion(np.not_equal(predicted, unchanged), groups, absent="no image"),
    )
