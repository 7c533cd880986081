"""What a command says while it works: a line a stage with what it found, with and without a terminal."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from flows.command_line.terminal import SECONDS_BETWEEN_LINES, PlainProgress, progress_bars
from tasks.engine.display import StageEnd, progress_of, tell_end
from tasks.engine.run import Run, new_run_id
from tasks.engine.stage import progress, stage
from tasks.record import Record


class Counted(Record):
    """A record that says what it found."""

    copies: int

    def in_words(self) -> str:
        return f"{self.copies} copies"


@stage("count {number}", version=1)
def count(run: Run, number: int) -> Counted:
    """Count."""
    progress()(number, number, "images")
    return Counted(copies=number)


def said(work: Callable[[], object], *, terminal: bool, quiet: bool = False) -> str:
    """What was written while `work` was done."""
    written = io.StringIO()
    with progress_bars(Console(file=written, force_terminal=terminal, width=60), quiet=quiet):
        work()
    return written.getvalue()


def two_stages(folder: Path) -> Callable[[], object]:
    run = Run(id=new_run_id(), name="told", workspace=str(folder))
    return lambda: [count(run, number) for number in (3, 4, 3)]


def test_without_a_terminal_each_stage_is_a_plain_line(tmp_path: Path) -> None:
    lines = said(two_stages(tmp_path), terminal=False).splitlines()
    assert [line.split() for line in lines] == [
        ["count", "3", "0.0", "s", "3", "copies"],
        ["count", "4", "0.0", "s", "4", "copies"],
        ["count", "3", "reused", "3", "copies"],
    ]
    assert not any("\x1b" in line for line in lines)


def test_a_terminal_keeps_the_lines_above_its_bars(tmp_path: Path) -> None:
    written = said(two_stages(tmp_path), terminal=True)
    assert "3 copies" in written
    assert "reused" in written
    assert "\x1b" in written


def test_quiet_says_nothing(tmp_path: Path) -> None:
    assert said(two_stages(tmp_path), terminal=False, quiet=True) == ""


def test_a_long_line_is_not_broken() -> None:
    words = "a finding " * 20
    assert said(lambda: tell_end(StageEnd("x", 1.0, False, words)), terminal=False).count("\n") == 1


def test_nobody_need_watch() -> None:
    progress_of("x", in_prefect=False)(1, 2, "images")
    tell_end(StageEnd("x", 1.0, False, "found"))


@pytest.mark.parametrize(("total", "expected"), [(9, "train: 3 of 9 epochs\n"), (None, "train: 3 epochs\n")])
def test_a_long_stage_says_now_and_then_how_far_it_is(total: int | None, expected: str) -> None:
    written, clock = io.StringIO(), [0.0]
    report = PlainProgress(Console(file=written), now=lambda: clock[0])("train")
    for done, seconds in (
        (1, 1),
        (2, SECONDS_BETWEEN_LINES - 1),
        (3, SECONDS_BETWEEN_LINES),
        (4, SECONDS_BETWEEN_LINES + 1),
    ):
        clock[0] = seconds
        report(done, total, "epochs")
    assert written.getvalue() == expected
