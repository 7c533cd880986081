"""Second looks: figures on a part of the images, beside the headline and never instead of it."""

from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt
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
    yield from _on_a_part(
        figures,
        rows,
        kept,
        "Without suspect labels",
        f"The same predictions without the {int((~kept).sum())} images whose label the model finds doubtful. "
        "Leaving out what a model finds doubtful always flatters it: these figures are too good by construction. "
        "They say how much the suspects weigh, should a person find all of them to be labelled wrongly; no more.",
    )


def without_chosen(
    figures: Evaluation,
    predictions: pd.DataFrame,
    rows: EvaluatedPredictions,
    chosen: Collection[str],
    confirmed: Collection[str],
) -> Iterator[SecondLook]:
    """The figures without labels that the machine had a say in: of images it chose, and that it suggested."""
    kept = ~predictions["sha256"].isin(chosen).to_numpy(np.bool_)
    yield from _on_a_part(
        figures,
        rows,
        kept,
        "Without images that were chosen to be labelled",
        f"{int((~kept).sum())} images were labelled because the machine was unsure of them or for another reason: "
        "they are harder or easier than others, and figures on them speak for no population. Here are the figures of "
        "the images whose label came with them or that were drawn at random.",
    )
    kept = ~predictions["sha256"].isin(confirmed).to_numpy(np.bool_)
    yield from _on_a_part(
        figures,
        rows,
        kept,
        "Without labels that the machine suggested",
        f"{int((~kept).sum())} labels were given by a person to whom the machine had shown that very label: such "
        "labels agree with machines more than others do.",
    )


def _on_a_part(
    figures: Evaluation, rows: EvaluatedPredictions, kept: npt.NDArray[np.bool_], title: str, why: str
) -> Iterator[SecondLook]:
    """The same predictions on the images that are `kept` (n,); nothing where all are, or a class is gone as a whole."""
    if kept.all() or np.unique(rows.labels[kept]).size < len(figures.classes):
        return
    yield SecondLook(
        title=title,
        why=why,
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
