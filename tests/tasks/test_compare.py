"""Which two models are compared, and on the images that neither saw; with themselves they do not differ."""

import io
from pathlib import Path

import pandas as pd
import pytest
from support.runs.staged_run import IMAGES, StagedRun

from tasks.compare import NamedModel, compare_models, find_model, named_apart
from tasks.engine.run import Run
from tasks.errors import ConfigError
from tasks.evaluation.settings import ThresholdRule
from tasks.promote import publish


def test_names(tmp_path: Path) -> None:
    run = Run(id="x", name="brain", workspace=str(tmp_path))
    assert find_model(run, "/bundles/b1/") == NamedModel(name="b1", uri="/bundles/b1/")
    assert find_model(run, "az://box/models/v3").uri == "az://box/models/v3", "a URL, not a version"
    one, other = NamedModel(name="b", uri="/x/b"), NamedModel(name="b", uri="/y/b")
    assert [model.name for model in named_apart(one, other)] == ["b [1]", "b [2]"]
    with pytest.raises(ConfigError, match="both models are"):
        named_apart(one, NamedModel(name="other", uri="/x/b/"))


def test_a_model_does_not_differ_from_itself(staged_copy: StagedRun) -> None:
    run = staged_copy.run
    workspace = run.open_workspace()
    published = publish(run, staged_copy.bundle, staged_copy.evaluated)
    one = NamedModel(name="exported", uri=workspace.uri(staged_copy.bundle.folder))
    other = NamedModel(name="published", uri=published.uri)
    compared = compare_models(run, staged_copy.listing, staged_copy.catalogue, one, other, ThresholdRule())
    assert (compared.images, compared.unseen_by_first, compared.unseen_by_second) == (IMAGES, IMAGES, IMAGES)
    assert compared.first_evaluation == compared.second_evaluation
    assert compared.comparison.auc_difference.value == 0
    rows = pd.read_parquet(io.BytesIO(workspace.read(compared.predictions.path)))
    assert len(rows) == IMAGES
    assert b"only 36 groups" in workspace.read(compared.page.path)
    assert compared.uri == workspace.uri(compared.page.path)
