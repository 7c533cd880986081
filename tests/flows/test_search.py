"""`lightbox search` as a user runs it: killed and run again, on a Prefect server, and told off."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.runs.main_job import lightbox
from support.runs.small_search import COMMAND, arguments, trainings

from tasks.demo.data_set import DemoSummary

pytestmark = pytest.mark.slow


def test_a_killed_search_goes_on_and_repeats_nothing(
    small_demo: DemoSummary, space: Path, tmp_path: Path
) -> None:
    workspace, cache = tmp_path / "ws", tmp_path / "cache"
    environment = {**os.environ, "LIGHTBOX_CACHE": str(cache)}
    command = [COMMAND, *arguments(small_demo, workspace, space)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        while len(trainings(workspace)) < 2:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    before = trainings(workspace)
    out = tmp_path / "out.json"
    done = lightbox(*arguments(small_demo, workspace, space), "--json", str(out), cache=cache)
    assert done.returncode == 0, done.stderr
    after = trainings(workspace)
    assert {name: after[name] for name in before} == before
    assert len(after) > len(before)
    result = json.loads(out.read_text())
    assert result["evaluation"]["n"] > 50
    assert len(result["search"]["chosen"]["members"]) == 3
    assert not (workspace / "models").exists()

    page = tmp_path / "retrain.json"
    again = [*arguments(small_demo, workspace, space, "retrain"), "--search", "--min-recall", "0.01"]
    done = lightbox(*again, "--json", str(page), cache=cache)
    assert done.returncode == 0, done.stderr
    assert trainings(workspace) == after
    retrained = json.loads(page.read_text())
    assert retrained["search"]["chosen"] == result["search"]["chosen"]
    assert retrained["evaluation"]["auc"] == result["evaluation"]["auc"]
    html = Path(retrained["report"]).read_text()
    rows = len(result["search"]["leaderboard"])
    assert f"{rows} recipes were tried" in html
    assert re.search(r"the honest figure is \d\.\d{3}", html)


@pytest.mark.service
def test_on_a_server_trainings_are_tasks_and_the_leaderboard_is_a_table(
    small_demo: DemoSummary, space: Path, prefect_api: str, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "PREFECT_API_URL": prefect_api,
        "LIGHTBOX_CACHE": str(tmp_path / "cache"),
    }
    command = [COMMAND, *arguments(small_demo, tmp_path / "ws", space), "--max-concurrent-trials", "2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr

    def rows(what: str) -> list[dict[str, Any]]:
        answer = httpx.post(f"{prefect_api}/{what}/filter", json={}, timeout=20)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found

    runs = {" ".join(row["name"].split()[:2]): row["state_type"] for row in rows("flow_runs")}
    assert runs["search small"] == runs["fine-tune small"] == "COMPLETED"
    tasks = [row for row in rows("task_runs") if row["name"].startswith("search-unit")]
    assert len(tasks) >= 3
    assert {row["state_type"] for row in tasks} == {"COMPLETED"}
    (table,) = [row for row in rows("artifacts") if row["key"] == "small-leaderboard"]
    assert json.loads(table["data"])[0]["state"] in {"survivor", "tried", "stopped early"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--minutes", "0.0005"], "too short"),
        (["--space", "missing.yaml"], "missing.yaml"),
        (["--max-trials", "0"], "--max-trials"),
        (["--specificity", "1.5"], "--specificity"),
    ],
)
def test_what_cannot_be_searched_is_told_before_any_training(
    small_demo: DemoSummary, space: Path, tmp_path: Path, more: list[str], said: str
) -> None:
    asked = arguments(small_demo, tmp_path / "ws", space)
    if more[0] in asked:
        place = asked.index(more[0])
        del asked[place : place + 2]
    done = lightbox(*asked, *more, cache=tmp_path / "cache")
    assert done.returncode == 2
    assert said in done.stderr
    assert "cure:" in done.stderr
    assert not trainings(tmp_path / "ws")
