"""Two models side by side: the images that both may judge, and what each says of them by a rule chosen elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from tasks.data.grouped_splits import grouped_splits
from tasks.data.settings import Protocol
from tasks.errors import DataSetUnusable
from tasks.evaluation.intervals import Floats, Ints
from tasks.evaluation.metrics import Evaluation, evaluate
from tasks.evaluation.out_of_fold import judge

THRESHOLD_FOLDS: Final = 5
"""Parts, by group, of the common images: the threshold of each is chosen on the others."""


@dataclass(frozen=True)
class CommonImages:
    """Images that both models may judge.

    `rows` of the catalogue; labels (n,) are class indices, groups (n,) numbers; `logits` (n, classes) of each model by
    the members that may judge. `unseen` counts the images that each model may judge.
    """

    rows: pd.DataFrame
    labels: Ints
    groups: Ints
    logits: tuple[Floats, Floats]
    unseen: tuple[int, int]


@dataclass(frozen=True)
class Side:
    """One model's honest probabilities (n, classes) and predicted class indices (n,) of the common images."""

    name: str
    probabilities: Floats
    predicted: Ints
    evaluation: Evaluation


def images_in_common(
    first: tuple[pd.DataFrame, Floats], second: tuple[pd.DataFrame, Floats], classes: Sequence[str]
) -> CommonImages:
    """What both models may judge, from the rows that each may judge and its logits (n, classes) of them.

    Raises:
        DataSetUnusable: they do not hold every class.
    """
    (rows_of_first, logits_of_first), (rows_of_second, logits_of_second) = first, second
    place = pd.Series(np.arange(len(rows_of_second)), index=rows_of_second["path"])
    both = rows_of_first["path"].isin(place.index).to_numpy(np.bool_)
    rows = rows_of_first[both].reset_index(drop=True)
    labels = np.array([classes.index(label) for label in rows["label"]], dtype=np.int64)
    missing = [name for index, name in enumerate(classes) if not (labels == index).any()]
    if missing:
        raise DataSetUnusable(
            f"there is no image of {', '.join(missing)} among the {len(labels)} that both models may judge (the first "
            f"{len(rows_of_first)}, the second {len(rows_of_second)}): their members learnt from the others, or from "
            "copies of them",
            cure="give --images that at least one member of each model was not trained on",
        )
    return CommonImages(
        rows=rows,
        labels=labels,
        groups=pd.factorize(rows["group"])[0].astype(np.int64),
        logits=(logits_of_first[both], logits_of_second[place[rows["path"]].to_numpy()]),
        unseen=(len(rows_of_first), len(rows_of_second)),
    )


def threshold_folds(labels: Ints, groups: Ints) -> Ints:
    """A fold 0, 1, ... for each of the common images, groups kept together: for the choice of thresholds alone.

    Shapes: labels (n,), groups (n,), answer (n,).

    Raises:
        DataSetUnusable: a class has but one group.
    """
    fewest = min(np.unique(groups[labels == label]).size for label in np.unique(labels))
    if fewest < 2:
        raise DataSetUnusable(
            "a class has only one group of copies among the images that both models may judge",
            cure="give more images that neither model was trained on",
        )
    folds = np.empty(len(labels), dtype=np.int64)
    parts = grouped_splits(labels, groups, min(THRESHOLD_FOLDS, fewest), seed=0)
    for fold, (_, chosen) in enumerate(parts):
        folds[chosen] = fold
    return folds


def judge_side(
    name: str,
    logits: Floats,
    common: CommonImages,
    folds: Ints,
    *,
    classes: Sequence[str],
    positive_class: str | None,
    protocol: Protocol,
    recall_target: float,
) -> Side:
    """Choose each fold's temperature and threshold on the others, and evaluate.

    Shapes: logits (n, classes) of the common images, folds (n,) as `threshold_folds` gives them.
    """
    judged = judge(
        common.labels,
        logits,
        folds,
        straddling=np.zeros(len(folds), dtype=np.bool_),
        reported_folds=frozenset(np.unique(folds).tolist()),
        positive=None if positive_class is None else classes.index(positive_class),
        recall_target=recall_target,
    )
    evaluation = evaluate(
        common.labels,
        judged.probabilities,
        judged.predicted,
        common.groups,
        list(classes),
        positive_class=positive_class,
        protocol=protocol,
    )
    return Side(name, judged.probabilities, judged.predicted, evaluation)
