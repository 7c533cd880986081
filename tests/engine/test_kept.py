"""Kept results say what they took, uses say whose they are, and those of the version before are still read."""

import json
from pathlib import Path

import pytest
from pydantic import Field, ValidationError
from support.samples.stored_workspace import WORKSPACE

from tasks.engine.kept import (
    KeptResult,
    StageUse,
    file_of_last_run,
    keep_result,
    read_result,
    read_use,
    result_path,
    tell_use,
)
from tasks.engine.run import Run
from tasks.engine.stage import stage
from tasks.errors import WorkspaceError
from tasks.ingest import Listing
from tasks.record import FileReference, Record
from tasks.stores.layout import STAGE_RESULT, STAGE_USE
from tasks.stores.workspace import Workspace


class Said(Record):
    """A record with a file."""

    file: FileReference = Field(description="Where it is written.")


@stage("say {word}", version=1)
def say(run: Run, word: str) -> Said:
    """Write a word."""
    return Said(file=run.write("word.txt", word.encode()))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run in an empty workspace."""
    return Run(id="20270101-000000-a", name="tested", workspace=str(tmp_path / "ws"))


def results(workspace: Workspace) -> list[KeptResult]:
    """Every kept result."""
    found = (read_result(workspace, path) for path in workspace.list(STAGE_RESULT.folder()))
    return [result for result in found if result is not None]


def uses(workspace: Workspace, run: str) -> list[StageUse]:
    """Every use of a run."""
    found = (read_use(workspace, path) for path in workspace.list(STAGE_USE.folder(run=run)))
    return [use for use in found if use is not None]


def test_a_result_says_what_it_took_and_what_it_refers_to(run: Run) -> None:
    said = say(run, "hello")
    (result,) = results(run.open_workspace())
    assert (result.stage, result.name, result.run) == ("say {word}", "tested", run.id)
    assert result.seconds is not None and 0 <= result.seconds < 60
    assert result.files == (said.file,)
    assert result.folders == frozenset()


def test_results_of_the_version_before_say_no_seconds_and_are_read(stored_listing: Listing) -> None:
    workspace = Workspace(WORKSPACE)
    found = results(workspace)
    assert len(found) == len(workspace.list(STAGE_RESULT.folder())) == 19
    assert {result.seconds for result in found} == {None}
    assert stored_listing.images == 38
    prepared = [result for result in found if result.stage == "prepare"]
    assert {folder for result in prepared for folder in result.folders} == {"cache/images/10a71d3b9ff9ac37"}


def test_nodes_of_a_run_have_files_of_their_own_and_tell_their_uses_in_one_place(run: Run) -> None:
    first, second = run.at("first"), run.at("second")
    one, other = say(first, "hello"), say(second, "hello")
    assert one == other and one.file.path == f"runs/{run.id}/nodes/first/word.txt"
    told = uses(run.open_workspace(), run.id)
    assert {(use.node, use.reused) for use in told} == {("first", False), ("second", True)}
    assert {use.entry for use in told} == {result_path("say", told[0].entry.rpartition("/")[2][:-5])}
    assert first.checkpoints != second.checkpoints != run.checkpoints


@pytest.mark.parametrize("wrong", ["", "Upper", "a/b", "../a", "a b", "-a", "x" * 65])
def test_a_node_has_a_name_that_fits_a_path_and_a_tag(run: Run, wrong: str) -> None:
    with pytest.raises(ValidationError):
        run.at(wrong)


def test_a_file_that_was_overwritten_is_not_read(run: Run) -> None:
    said = say(run, "hello")
    assert run.read(said.file) == b"hello"
    say(run, "goodbye")
    with pytest.raises(WorkspaceError, match=r"word\.txt is damaged or was overwritten") as refused:
        run.read(said.file)
    # What the error advises helps.
    assert "delete it and run again" in refused.value.cure
    run.open_workspace().delete(said.file.path)
    assert run.read(say(run, "hello").file) == b"hello"


def test_the_last_run_is_the_newest_of_that_data_set(run: Run) -> None:
    workspace = run.open_workspace()
    assert file_of_last_run(workspace, "tested", "say", "file") is None
    older = say(run, "older")
    newer = say(run.model_copy(update={"id": "20270102-000000-b"}).at("node"), "newer")
    say(run.model_copy(update={"id": "20270103-000000-c", "name": "other"}), "newest")
    assert file_of_last_run(workspace, "tested", "say", "file") == newer.file
    assert file_of_last_run(workspace, "tested", "say", "absent") is None
    workspace.delete(newer.file.path)
    assert file_of_last_run(workspace, "tested", "say", "file") == older.file


def test_what_cannot_be_read_is_no_result(run: Run) -> None:
    workspace = run.open_workspace()
    path = result_path("say {word}", "0" * 64)
    assert read_result(workspace, path) is None
    for wrong in (b"", b"{", b"[]", json.dumps({"record": {}}).encode()):
        workspace.write(path, wrong)
        assert read_result(workspace, path) is None
    kept = KeptResult(stage="say", name="n", run="r", seconds=0.1, record={"x": float("nan"), "y": 0.1 + 0.2})
    keep_result(workspace, path, kept)
    found = read_result(workspace, path)
    assert found is not None and found.record["y"] == 0.1 + 0.2 and found.record["x"] != found.record["x"]
    use = StageUse(name="n", stage="say", entry=path, files=(), reused=False)
    tell_use(workspace, "r", use)
    assert uses(workspace, "r") == [use]
    (place,) = workspace.list(STAGE_USE.folder(run="r"))
    workspace.write(place, b"{}")
    assert uses(workspace, "r") == []
