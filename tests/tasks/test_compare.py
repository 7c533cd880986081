"""Two models on the images that neither saw; with themselves they do not differ."""

import io

import pandas as pd
from support.runs.staged_run import IMAGES, StagedRun

from tasks.compare import compare_models
from tasks.compare_sides import NamedModel
from tasks.promote import publish


def test_a_model_does_not_differ_from_itself(staged_copy: StagedRun) -> None:
    run = staged_copy.run
    workspace = run.open_workspace()
    published = publish(run, staged_copy.bundle, staged_copy.evaluated)
    one = NamedModel(name="exported", uri=workspace.uri(staged_copy.bundle.folder))
    other = NamedModel(name="published", uri=published.uri)
    compared = compare_models(run, staged_copy.listing, staged_copy.catalogue, one, other, 0.9)
    assert (compared.images, compared.unseen_by_first, compared.unseen_by_second) == (IMAGES, IMAGES, IMAGES)
    assert compared.first_evaluation == compared.second_evaluation
    assert compared.comparison.auc_difference.value == 0
    rows = pd.read_parquet(io.BytesIO(workspace.read(compared.predictions.path)))
    assert len(rows) == IMAGES
    assert b"only 36 independent groups" in workspace.read(compared.page.path)
    assert compared.uri == workspace.uri(compared.page.path)
