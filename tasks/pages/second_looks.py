"""Second looks: figures on a part of the images, beside the headline and never instead of it."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from tasks.data.given_split import Leak
from tasks.evaluation.metrics import Evaluation, evaluate
from tasks.pages.content import EvaluatedPredictions, SecondLook


def without_leaks(leak: Leak | None, figures: Evaluation | None) -> Iterator[SecondLook]:
    """The figures without the images that a given split leaks, where there are any."""
    if leak is None or figures is None or not leak.test_files_with_copies:
        return
    yield SecondLook(
        title="Without the images that the given split leaks",
        why=f"{leak.test_files_with_copies} of the {leak.test_files} test files have an exact or near copy among the "
        f"given training files; {leak.images_on_both_sides} distinct images stand on both sides. The model of this "
        f"report did not learn from the {leak.training_files_left_out} training files concerned. Figures that others "
        "publish for this split may rest on them. Here are the figures of the test files without any such copy.",
        evaluation=figures,
    )


def without_suspects(
    figures: Evaluation, predictions: pd.DataFrame, rows: EvaluatedPredictions, suspects: pd.DataFrame
) -> Iterator[SecondLook]:
    """The figures without suspect labels, where there are any."""
    kept = ~predictions["path"].isin(suspects["path"]).to_numpy(np.bool_)
    if kept.all() or np.unique(rows.labels[kept]).size < len(figures.classes):
        return
    yield SecondLook(
        title="Without suspect labels",
        why=f"The same predictions without the {int((~kept).sum())} images whose label the model finds doubtful. "
        "Leaving out what a model finds doubtful always flatters it: these figures are too good by construction. "
        "They say how much the suspects weigh, should a person find all of them to be labelled wrongly; no more.",
        evaluation=evaluate(
            rows.labels[kept],
            rows.probabilities[kept],
            rows.predicted[kept],
            rows.groups[kept],
            figures.classes,
            positive_class=figures.positive_class,
            protocol=figures.protocol,
        ),
    )
