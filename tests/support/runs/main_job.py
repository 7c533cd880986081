"""One small, real run that several tests look at."""

import io
import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.command_line.app import main
from tasks.demo.data_set import DemoSummary, make_demo


@dataclass(frozen=True)
class FinishedRun:
    """A finished `lightbox retrain` on a small demo set."""

    demo: DemoSummary
    workspace: Path
    cache: Path
    result: dict[str, Any]


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


def lightbox(*arguments: str | Path, cache: Path, environment: dict[str, str] | None = None) -> Done:
    """Run the command in this process, which has paid for its imports already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["lightbox", *map(str, arguments)])
        for name, value in {"LIGHTBOX_CACHE": str(cache), "COLUMNS": "200", **(environment or {})}.items():
            patch.setenv(name, value)
        stdout, stderr = io.StringIO(), io.StringIO()
        with redirect_stdout(stdout), redirect_stderr(stderr):
            try:
                main()
                code: int | str | None = 0
            except SystemExit as stop:
                code = stop.code
    return Done(
        code if isinstance(code, int) else int(code is not None), stdout.getvalue(), stderr.getvalue()
    )


LOW_BARS = ("--min-recall", "0.3", "--min-specificity", "0", "--no-above-trivial-facts")
"""What a model of few pictures reaches."""


def retrain_arguments(images: Path | str, workspace: Path | str, *more: str) -> Sequence[str]:
    """The options of a small, quick run."""
    return (
        *("retrain", "--images", str(images), "--workspace", str(workspace), "--name", "small"),
        *("--positive-class", "yes", "--preset", "fast", "--folds", "3", *LOW_BARS),
        *more,
    )


@pytest.fixture(scope="session")
def small_demo(tmp_path_factory: pytest.TempPathFactory) -> DemoSummary:
    """A demo set that trains in seconds."""
    return make_demo(tmp_path_factory.mktemp("demo") / "set", n_no=24, n_yes=36)


@pytest.fixture(scope="session")
def finished(small_demo: DemoSummary, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """The run."""
    folder = tmp_path_factory.mktemp("finished")
    out = folder / "out.json"
    arguments = retrain_arguments(small_demo.images, folder / "ws", "--json", str(out))
    done = lightbox(*arguments, cache=folder / "cache")
    assert done.returncode == 0, done.stderr
    return FinishedRun(small_demo, folder / "ws", folder / "cache", json.loads(out.read_text()))
