"""The main job on a real Prefect server: the graph, the artifacts and the events that people see."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.runs.main_job import FinishedRun, retrain_arguments

pytestmark = [pytest.mark.service, pytest.mark.slow]


def _filter(api: str, what: str, body: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    answer = httpx.post(f"{api}/{what}/filter", json=body or {}, timeout=20)
    answer.raise_for_status()
    found = answer.json()
    return found["events"] if what == "events" else found  # type: ignore[no-any-return]


def _events(api: str, name: str) -> list[dict[str, Any]]:
    """Events arrive in the background: wait a moment for them."""
    for _ in range(40):
        found = _filter(api, "events", {"filter": {"event": {"name": [name]}}})
        if found:
            return found
        time.sleep(0.5)
    return []


def _states(api: str, run: str) -> dict[str, str]:
    """The tasks of a run and of the runs that it started, by name; other tests' runs are on the server too."""
    tasks = _filter(api, "task_runs", {"flow_runs": {"id": {"any_": [run]}}})
    inner = {"parent_task_run_id": {"any_": [row["id"] for row in tasks]}}
    started = [row["id"] for row in _filter(api, "flow_runs", {"flow_runs": inner})]
    tasks += _filter(api, "task_runs", {"flow_runs": {"id": {"any_": started}}})
    return {row["name"]: row["state_name"] for row in tasks}


def _messages(api: str, run: str) -> dict[str, str]:
    """What the last state of each task says."""
    tasks = _filter(api, "task_runs", {"flow_runs": {"id": {"any_": [run]}}})
    return {row["name"]: row["state"]["message"] for row in tasks}


def test_a_run_on_a_server_shows_stages_artifacts_and_events(
    finished: FinishedRun, prefect_api: str, tmp_path: Path
) -> None:
    workspace = tmp_path / "ws"
    shutil.copytree(finished.workspace, workspace)
    arguments = [*retrain_arguments(finished.demo.images, workspace)]
    arguments[arguments.index("0.3")] = "0.999"
    command = [str(Path(sys.executable).parent / "lightbox"), *arguments, "--quiet"]
    environment = {**os.environ, "PREFECT_API_URL": prefect_api, "LIGHTBOX_CACHE": str(finished.cache)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr

    (run,) = [row for row in _filter(prefect_api, "flow_runs") if row["name"].startswith("retrain small ")]
    assert run["state_type"] == "COMPLETED"
    assert run["state_name"] == "Served, but does not pass"
    assert run["state"]["message"].startswith(
        "Version v1, the model of this run, is in service: it does not pass"
    )
    assert "specificity" in run["state"]["message"]
    states = _states(prefect_api, run["id"])
    assert states["ingest"] == states["promote"] == states["decide"] == "Completed"
    assert states["catalogue"] == states["evaluate"] == states["fine-tune member 0"] == "Reused"
    messages = _messages(prefect_api, run["id"])
    assert "usable images" in messages["catalogue"]
    assert messages["decide"].startswith("refused: ")
    keys = {row["key"] for row in _filter(prefect_api, "artifacts")}
    assert {"small-summary", "small-confusion-matrix"} <= keys
    (refused,) = _events(prefect_api, "lightbox.model.refused")
    (low,) = _events(prefect_api, "lightbox.model.recall-low")
    assert refused["payload"]["bar"] == low["payload"]["bar"] == 0.999
    assert refused["payload"]["champion"] == "v1"
    assert refused["resource"]["prefect.resource.id"] == "lightbox.model.small"
    assert Path(refused["payload"]["report"]).is_file()


NODES = """
import sys
from prefect import flow
from pydantic import Field
from tasks.engine.run import Run, open_run
from tasks.engine.stage import stage
from tasks.record import Record

class Said(Record):
    word: str = Field(description="What was said.")

@stage("say {word}", version=1)
def say(run: Run, word: str) -> Said:
    return Said(word=word)

@flow(name="two-nodes", persist_result=False)
def two_nodes(workspace: str) -> None:
    run = open_run(workspace, None, "small")
    say(run, "plain")
    for node in ("first", "second"):
        say(run.at(node), node)

two_nodes(sys.argv[1])
"""


def test_a_stage_of_a_node_bears_its_tag(prefect_api: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PREFECT_API_URL": prefect_api, "LIGHTBOX_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", NODES, str(tmp_path / "ws")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    rows = [row for row in _filter(prefect_api, "task_runs") if row["name"].startswith("say ")]
    assert {row["name"]: row["tags"] for row in rows} == {
        "say plain": [],
        "say first": ["node:first"],
        "say second": ["node:second"],
    }


TOLD = """
import sys
from dataclasses import dataclass
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from tasks.engine.flow_run import ended, run_name

@flow(name="told", flow_run_name=run_name, persist_result=False)
def told(dataset: dict[str, str], count: int) -> list[int]:
    return ended([count], f"{count} images", "Refused" if count > 2 else None)

@flow(name="outer", persist_result=False)
def outer() -> None:
    assert told({"name": "inner"}, 1) == [1]

assert told({"name": "lungs"}, 3) == [3]
outer()
with get_client(sync_client=True) as client:
    typed = client.create_flow_run(told, parameters={"dataset": {"name": "lungs"}, "count": 2}, name="new scanner")
assert run_flow(told, typed, parameters={"dataset": {"name": "lungs"}, "count": 2}) == [2]
"""


def test_a_run_is_named_after_what_it_is_of_and_its_state_says_what_came_of_it(
    prefect_api: str, tmp_path: Path
) -> None:
    environment = {**os.environ, "PREFECT_API_URL": prefect_api, "LIGHTBOX_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", TOLD]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    rows = _filter(prefect_api, "flow_runs", {"flows": {"name": {"any_": ["told"]}}})
    states = {row["name"]: (row["state_type"], row["state_name"], row["state"]["message"]) for row in rows}
    by_subject = {
        re.sub(r" \d{4}-\d\d-\d\d \d\d:\d\d$", " WHEN", name): state for name, state in states.items()
    }
    assert by_subject == {
        "told lungs WHEN": ("COMPLETED", "Refused", "3 images"),
        "told inner WHEN": ("COMPLETED", "Completed", "1 images"),
        "new scanner": ("COMPLETED", "Completed", "2 images"),
    }
