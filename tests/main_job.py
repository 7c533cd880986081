"""One small, real run that several tests look at."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasks.data.demo import DemoSummary, make_demo


@dataclass(frozen=True)
class FinishedRun:
    """A finished `lightbox retrain` on a small demo set."""

    demo: DemoSummary
    workspace: Path
    cache: Path
    result: dict[str, Any]


def lightbox(
    *arguments: str | Path, cache: Path, environment: dict[str, str] | None = None, timeout: float = 280
) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, in a process of its own."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "lightbox"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, "LIGHTBOX_CACHE": str(cache), "COLUMNS": "200", **(environment or {})},
    )


def retrain_arguments(images: Path | str, workspace: Path | str, *more: str) -> Sequence[str]:
    """The options of a small, quick run."""
    return (
        *("retrain", "--images", str(images), "--workspace", str(workspace), "--name", "small"),
        *("--positive-class", "yes", "--preset", "fast", "--folds", "3", "--min-recall", "0.3"),
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
