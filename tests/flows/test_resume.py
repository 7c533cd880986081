"""A run that is killed anywhere goes on, to the figures of one that was not, and nothing half-written is seen."""

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from support.repository import REPOSITORY, TESTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `interrupted_runs.py` found."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{TESTS}{os.pathsep}{REPOSITORY}"}
    command = [
        sys.executable,
        str(TESTS / "support" / "runs" / "interrupted_runs.py"),
        str(tmp_path_factory.mktemp("killed")),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=550)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_every_attempt_was_killed_in_the_middle_and_left_nothing_half_written(told: dict[str, Any]) -> None:
    for attempt in told["attempts"]:
        assert attempt["signal"] == signal.SIGKILL, attempt["point"]
        assert attempt["half_written"] == [], attempt["point"]
    in_a_write = [attempt for attempt in told["attempts"] if attempt["point"] not in ("fetch", "training")]
    assert [attempt["leftovers"] for attempt in in_a_write] == list(range(1, len(in_a_write) + 1)), (
        "each died with half a file under a temporary name"
    )


def test_no_half_version_is_ever_registered(told: dict[str, Any]) -> None:
    versions = {attempt["point"]: attempt["versions"] for attempt in told["attempts"]}
    assert versions["publish"] == []
    assert versions["promote"] == ["v2"]
    assert told["finished"]["version"] == told["finished"]["champion"] == "v2"


def test_training_goes_on_after_its_last_whole_epoch(told: dict[str, Any]) -> None:
    assert told["first_epochs"] == ["1"]


def test_the_figures_are_those_of_an_undisturbed_run(told: dict[str, Any]) -> None:
    finished, expected = told["finished"], told["expected"]
    assert finished["evaluation"] == expected["evaluation"]
    assert finished["dataset"]["digest"] == expected["dataset"]["digest"]
    assert finished["decision"] == expected["decision"]
    assert set(finished["reused"]) >= {"catalogue", "prepare", "export", "evaluate", "decide", "publish"}
