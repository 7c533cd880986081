"""Decisions are kept once each, whatever is written twice; a damaged file is told."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from support.samples.decisions import say

from tasks.errors import WorkspaceError
from tasks.labelling.decision import DecisionStore
from tasks.stores.workspace import Workspace


def test_what_is_known_is_not_written_again(tmp_path: Path) -> None:
    store = DecisionStore(Workspace(str(tmp_path)), "brain")
    first, second = say("ann", "yes"), say("bob", None)
    assert store.append([first, first]) == [first]
    assert store.append([first, second]) == [second]
    assert store.append([first, second]) == []
    assert store.read() == [first, second]
    assert len(list((tmp_path / "labels" / "brain").iterdir())) == 2


def test_two_writers_of_the_same_lose_and_double_nothing(tmp_path: Path) -> None:
    one, two = (DecisionStore(Workspace(str(tmp_path)), "brain") for _ in range(2))
    decision, other = say("ann", "yes"), say("ann", "no", "b")
    one.append([decision])
    (file,) = (tmp_path / "labels" / "brain").iterdir()
    lines = file.read_bytes()
    two.append([other])
    file.with_name("copy.jsonl").write_bytes(lines + lines)
    assert one.read() == two.read() == [decision, other]


def test_only_decisions_are_read(tmp_path: Path) -> None:
    store = DecisionStore(Workspace(str(tmp_path)), "brain")
    store.append([say("ann", "yes")])
    folder = tmp_path / "labels" / "brain"
    (folder / "project").mkdir()
    (folder / "project" / "notes.jsonl").write_text("no decision")
    (folder / "queue.parquet").write_text("no decision")
    assert len(store.read()) == 1
    (folder / "damaged.jsonl").write_text('{"id": "1"}\n')
    with pytest.raises(WorkspaceError, match=r"damaged\.jsonl holds a line that is no decision"):
        store.read()


def test_a_label_belongs_to_its_answer() -> None:
    for wrong in (
        {"answer": "skip"},
        {"answer": "reject"},
        {"sha256": "abc"},
        {"time": "2026-01-01T00:00:00"},
    ):
        with pytest.raises(ValidationError):
            say("ann", "yes", **wrong)
    with pytest.raises(ValidationError):
        say("ann", None, answer="label")
