"""Two models side by side: the images that both may judge, and what each says of them by a rule chosen elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.data.settings import Protocol
from tasks.errors import DataSetUnusable
from tasks.evaluation.intervals import Bools, Floats, Ints
from tasks.evaluation.metrics import Evaluation, evaluate
from tasks.evaluation.operating_rule import JudgedImages, judge_shares
from tasks.evaluation.out_of_fold import judge
from tasks.evaluation.settings import ThresholdRule


@dataclass(frozen=True)
class CommonImages:
    """Images that both models may judge.

    `rows` of the catalogue; labels and folds (n,) are indices, groups (n,) numbers; `logits` (n, classes) of each model
    by the members that may judge, and which these are, `judges` (n, members). `unseen` counts the images that each
    model may judge.
    """

    rows: pd.DataFrame
    labels: Ints
    groups: Ints
    folds: Ints
    logits: tuple[Floats, Floats]
    judges: tuple[Bools, Bools]
    unseen: tuple[int, int]


@dataclass(frozen=True)
class Side:
    """One model's honest probabilities (n, classes) and predicted class indices (n,) of the common images."""

    name: str
    probabilities: Floats
    predicted: Ints
    evaluation: Evaluation


def images_in_common(
    first: tuple[pd.DataFrame, Floats, Bools],
    second: tuple[pd.DataFrame, Floats, Bools],
    classes: Sequence[str],
) -> CommonImages:
    """What both models may judge, from the rows that each may judge, its logits (n, classes), and whose they are.

    Raises:
        DataSetUnusable: they do not hold every class.
    """
    (rows_of_first, logits_of_first, judges_of_first) = first
    (rows_of_second, logits_of_second, judges_of_second) = second
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
    theirs = place[rows["path"]].to_numpy()
    return CommonImages(
        rows=rows,
        labels=labels,
        groups=pd.factorize(rows["group"])[0].astype(np.int64),
        folds=rows["fold"].to_numpy(np.int64),
        logits=(logits_of_first[both], logits_of_second[theirs]),
        judges=(judges_of_first[both], judges_of_second[theirs]),
        unseen=(len(rows_of_first), len(rows_of_second)),
    )


def judge_side(
    name: str,
    common: CommonImages,
    side: int,
    *,
    classes: Sequence[str],
    positive_class: str | None,
    protocol: Protocol,
    rule: ThresholdRule,
) -> Side:
    """Judge each part of the common images by the scale and threshold that the others choose, and evaluate.

    `side` is 0 for the first model, 1 for the second; the parts are the same for both.
    """
    judged = judge(
        JudgedImages(common.labels, common.logits[side], judge_shares(common.judges[side]), common.groups),
        common.folds,
        straddling=np.zeros(len(common.labels), dtype=np.bool_),
        reported_folds=frozenset(np.unique(common.folds).tolist()),
        positive=None if positive_class is None else classes.index(positive_class),
        rule=rule,
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
