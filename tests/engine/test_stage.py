"""A stage runs once for the same inputs, and again when anything that it depends on changes."""

from pathlib import Path

import pytest
from pydantic import Field

from tasks.engine.run import Run, new_run_id
from tasks.engine.stage import progress, stage, timed_stages
from tasks.record import FileReference, Record, digest_of


class Counted(Record):
    """A record with a file."""

    value: int = Field(description="What was counted.")
    file: FileReference = Field(description="Where it is written.")


calls: list[int] = []
ledger = {"state": 0}


@stage("count {number}", version=1, state=lambda number: ledger["state"] * number)
def count(run: Run, number: int) -> Counted:
    """Count."""
    progress()(1, 1, "counted")
    calls.append(number)
    return Counted(value=number, file=run.write("count.txt", str(number).encode()))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run in an empty workspace."""
    calls.clear()
    ledger["state"] = 0
    return Run(id=new_run_id(), name="tested", workspace=str(tmp_path / "ws"))


def test_same_inputs_are_computed_once_across_runs(run: Run) -> None:
    first = count(run, 3)
    later = run.model_copy(update={"id": new_run_id()})
    with timed_stages() as timings:
        second = count(later, 3)
    assert first == second
    assert calls == [3]
    assert [(row.stage, row.reused) for row in timings] == [("count 3", True)]


def test_other_inputs_name_force_or_state_compute_again(run: Run) -> None:
    count(run, 3)
    count(run, 4)
    count(run.model_copy(update={"name": "other"}), 3)
    count(run.model_copy(update={"force": True}), 3)
    ledger["state"] = 1
    count(run, 3)
    assert calls == [3, 4, 3, 3, 3]


def test_a_lost_file_is_made_again(run: Run) -> None:
    made = count(run, 3)
    run.open_workspace().delete(made.file.path)
    count(run, 3)
    assert calls == [3, 3]


def test_a_damaged_entry_is_made_again(run: Run) -> None:
    count(run, 3)
    workspace = run.open_workspace()
    (entry,) = workspace.list("stages/")
    workspace.write(entry, b"{")
    count(run, 3)
    assert calls == [3, 3]


def test_a_record_is_known_by_content_not_by_place() -> None:
    here = Counted(value=1, file=FileReference(path="runs/a/x", sha256="f" * 64))
    there = here.model_copy(update={"file": FileReference(path="runs/b/x", sha256="f" * 64)})
    other = here.model_copy(update={"file": FileReference(path="runs/a/x", sha256="0" * 64)})
    assert here.digest == there.digest != other.digest
    assert digest_of({"b": 1, "a": 2}) == digest_of({"a": 2, "b": 1})


def test_run_ids_are_unique_and_sort_by_time() -> None:
    ids = [new_run_id() for _ in range(50)]
    assert len(set(ids)) == 50
    assert [name[:15] for name in ids] == sorted(name[:15] for name in ids)
