"""Versions never change, and what was begun from an old one is no new one; what differs is told by meaning."""

from pathlib import Path

import pytest
from support.runs.main_job import lightbox

from tasks.errors import PipelineError
from tasks.pipeline.difference import differences
from tasks.pipeline.document import Document
from tasks.pipeline.versions import Pipelines
from tasks.stores.workspace import Workspace

TEXT = """
lightbox_pipeline: 1
name: drawn
nodes:
  scans: {is: data_set@1, set: {name: brain_mri}}
  checked: {is: check_images@1, from: {images: scans}, set: {n_folds: 4}}
layout: {scans: [0, 0]}
"""
FIRST = Document.read(TEXT)
SECOND = FIRST.with_settings("checked", {"n_folds": 6})


@pytest.fixture
def kept(tmp_path: Path) -> Pipelines:
    return Pipelines(Workspace(str(tmp_path / "ws")))


def test_each_change_is_a_version_and_the_same_is_none(kept: Pipelines) -> None:
    assert (kept.names(), kept.newest("drawn")) == ((), 0)
    assert kept.save(FIRST, 0) == 1
    assert kept.save(FIRST, 1) == 1
    assert kept.save(SECOND, 1) == 2
    assert kept.names() == ("drawn",)
    assert kept.read("drawn") == SECOND and kept.read("drawn", 1) == FIRST
    assert [(row.version, row.nodes) for row in kept.history("drawn")] == [(1, 2), (2, 2)]


def test_what_somebody_changed_meanwhile_is_not_overwritten(kept: Pipelines) -> None:
    kept.save(FIRST, 0)
    kept.save(SECOND, 1)
    with pytest.raises(PipelineError, match="has version 2, yours was begun from version 1") as caught:
        kept.save(FIRST.with_settings("checked", {"n_folds": 7}), 1)
    assert "--after 2" in caught.value.cure
    with pytest.raises(PipelineError, match="yours was begun from none"):
        kept.save(FIRST, 0)
    assert kept.read("drawn") == SECOND


def test_what_is_not_there_is_named(kept: Pipelines) -> None:
    with pytest.raises(PipelineError, match="no pipeline drawn"):
        kept.read("drawn")
    kept.save(FIRST, 0)
    with pytest.raises(PipelineError, match="no version 9 of drawn") as caught:
        kept.read("drawn", 9)
    assert caught.value.cure == "its versions are 1 to 1"


def test_what_differs_is_told_by_meaning() -> None:
    other = Document.read(
        TEXT.replace("n_folds: 4", "n_folds: 6")
        .replace("[0, 0]", "[9, 9]")
        .replace("layout", "  apart: {is: split@1, from: {catalogue: checked}}\nlayout")
    )
    assert [str(one) for one in differences(FIRST, other)] == [
        "checked.n_folds: 4 -> 6",
        "apart added: split@1",
        "scans moved",
    ]
    assert [str(one) for one in differences(other, FIRST)] == [
        "apart removed: split@1",
        "checked.n_folds: 6 -> 4",
        "scans moved",
    ]
    assert differences(FIRST, FIRST) == ()


def test_by_command(tmp_path: Path) -> None:
    workspace, file = ("--workspace", tmp_path / "ws"), tmp_path / "drawn.yaml"
    file.write_text(FIRST.write())

    def said(*words: str | Path) -> str:
        done = lightbox("pipeline", *words, cache=tmp_path)
        return f"{done.returncode} {done.stdout}{done.stderr}"

    assert said("import", file, *workspace) == "0 drawn@1\n"
    file.write_text(SECOND.write())
    assert "yours was begun from none" in said("import", file, *workspace)
    assert said("import", file, *workspace, "--after", "1") == "0 drawn@2\n"
    assert said("diff", "drawn@1", "drawn@2", *workspace) == "0 checked.n_folds: 4 -> 6\n"
    assert said("export", "drawn", *workspace) == f"0 {SECOND.write()}"
    assert "drawn@2  2 nodes" in said("versions", "drawn", *workspace)
    assert "drawn  (version 2, 2 nodes)" in said("list", *workspace)
    assert "checked: check_images@1; images from scans; n_folds 6" in said("show", "drawn", *workspace)
    assert said("check", str(file)) == f"0 {file}: well\n"
    file.write_text(FIRST.write().replace("data_set@1", "dataset@1"))
    assert "did you mean data_set?" in said("check", str(file))
    assert said("check", str(file)).startswith("2 ")
