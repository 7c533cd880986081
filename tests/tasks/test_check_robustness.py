"""Robustness of a real run: unchanged images are judged as in the evaluation, and all changes are tried."""

import io

import pandas as pd
from support.runs.staged_run import StagedRun

from tasks.check_robustness import check_robustness
from tasks.evaluation.robustness import UNCHANGED
from tasks.images.perturb import PERTURBATIONS


def test_the_unchanged_sample_has_the_figures_of_the_evaluation(staged_copy: StagedRun) -> None:
    run, evaluated = staged_copy.run, staged_copy.evaluated
    found = check_robustness(
        run,
        staged_copy.listing,
        staged_copy.catalogue,
        staged_copy.bundle,
        staged_copy.predictions,
        evaluated,
        5_000,
    )
    assert [row.change for row in found.rows] == [UNCHANGED, *PERTURBATIONS]
    predictions = pd.read_parquet(io.BytesIO(run.read(evaluated.predictions)))
    assert found.images == predictions["group"].nunique()
    unchanged = found.rows[0]
    assert unchanged.other_answer.value == 0.0
    if found.images == len(predictions):
        assert unchanged.recall.value == evaluated.evaluation.recall.value
        assert unchanged.auc.value == evaluated.evaluation.auc.value
    assert found.in_words().startswith(f"of {found.images} images")


def test_the_sample_is_bounded(staged_copy: StagedRun) -> None:
    found = check_robustness(
        *(
            staged_copy.run,
            staged_copy.listing,
            staged_copy.catalogue,
            staged_copy.bundle,
            staged_copy.predictions,
            staged_copy.evaluated,
        ),
        6,
    )
    assert found.images == 6 and {row.other_answer.n for row in found.rows} == {6}
