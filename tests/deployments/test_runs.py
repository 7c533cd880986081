"""Retraining by server and workers: sent to the GPU pool, told of once, and what happens when something is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from support.services.prefect_ui import Mailbox, Prefect, is_gone, pid_of

from deployments.plan import ENVIRONMENT

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def orphan(worker: Prefect) -> Iterator[tuple[str, float]]:
    """A run whose process and worker were killed together, and when; the server finds out while other tests run."""
    environment = {**os.environ, "PREFECT_API_URL": worker.server.url, "PREFECT_WORKER_QUERY_SECONDS": "1"}
    worker.post("/work_pools/", name="orphans", type="process", base_job_template=_job_template(worker))
    flow = worker.deployment("compute-start")["flow_id"]
    deployment = worker.post(
        "/deployments/",
        name="orphan",
        flow_id=flow,
        entrypoint="flows.compute.compute_start",
        work_pool_name="orphans",
        tags=["lightbox"],
        parameters={"pool": "gpu"},
        job_variables={"env": ENVIRONMENT},
    )
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "orphans", "--type", "process"]
    with (worker.folder / "orphans-worker.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    run = worker.post(f"/deployments/{deployment['id']}/create_flow_run", state={"type": "SCHEDULED"})
    worker.until(lambda: worker.run(run["id"])["state_type"] == "RUNNING", 120)
    os.killpg(process.pid, signal.SIGKILL)
    os.kill(pid_of(worker.run(run["id"])), signal.SIGKILL)
    process.wait()
    yield run["id"], time.monotonic()
    worker.delete(f"/deployments/{deployment['id']}")


def _job_template(worker: Prefect) -> object:
    return worker.get("/work_pools/default")["base_job_template"]


def test_refused_on_the_gpu_pool_over_a_restart_of_the_server(
    worker: Prefect, orphan: tuple[str, float], mailbox: tuple[Mailbox, str]
) -> None:
    champion = _champion(worker)
    assert worker.workers("gpu") == []
    run_id = worker.submit("retrain-small", force=True)
    child = worker.running_child(run_id)
    assert child["work_pool_name"] == "gpu"
    assert len(worker.workers("gpu")) == 1

    second = worker.submit("retrain-small")
    worker.until(lambda: worker.run(second)["state_name"] == "AwaitingConcurrencySlot", 30)
    worker.cancel(second)

    worker.server.stop()
    worker.server.start()
    ended = worker.ended(run_id)
    assert ended["state_type"] == "COMPLETED", ended["state"]["message"]
    assert worker.workers("gpu") == [], "compute sleeps again"
    assert _champion(worker) == champion, "a refused model changes nothing"

    worker.until(lambda: bool(mailbox[0].about(run_id)), 20)
    time.sleep(2)
    ((received, message),) = mailbox[0].about(run_id)
    assert message["title"].startswith("Lightbox small: recall of the new model v")
    assert message["title"].endswith(("is below the bar", "is not shown to reach the bar"))
    for part in (
        "Data set: small",
        "95 % interval",
        "bar 0.999",
        f"Version {champion} stays in service",
        "report",
    ):
        assert part in message["text"]
    query = {"event": {"name": ["lightbox.model.recall-low"]}}
    worker.until(lambda: bool(worker.post("/events/filter", filter=query)["events"]), 30)
    (event,) = worker.post("/events/filter", filter=query)["events"]
    assert received - datetime.fromisoformat(event["occurred"]).timestamp() < 10
    nodes = {row["name"] for row in worker.post("/task_runs/filter", flow_runs={"id": {"any_": [run_id]}})}
    assert {"ingest", "catalogue", "prepare", "fine-tune on gpu", "export", "evaluate", "report"} <= nodes
    keys = {row["key"] for row in worker.post("/artifacts/filter")}
    assert {"small-summary", "small-confusion-matrix"} <= keys


def test_a_killed_training_is_crashed_told_of_once_and_its_compute_sleeps(
    worker: Prefect, mailbox: tuple[Mailbox, str]
) -> None:
    run_id = worker.submit("retrain-small", force=True)
    child = worker.running_child(run_id)
    os.kill(pid_of(child), signal.SIGKILL)
    seconds = worker.until(lambda: worker.run(child["id"])["state_type"] == "CRASHED", 30)
    assert seconds < 30
    ended = worker.ended(run_id)
    assert ended["state_type"] == "FAILED"
    assert "a new run goes on from the last checkpoint" in ended["state"]["message"]
    worker.until(lambda: bool(mailbox[0].about(run_id)), 20)
    time.sleep(2)
    assert len(mailbox[0].about(run_id)) == 1
    assert mailbox[0].about(child["id"]) == []
    assert worker.workers("gpu") == []


def test_cancelling_stops_training_and_leaves_no_process(worker: Prefect) -> None:
    run_id = worker.submit("retrain-small", force=True)
    child = worker.running_child(run_id)
    processes = [pid_of(child), pid_of(worker.run(run_id)), worker.local_worker().pid]
    worker.cancel(run_id)
    assert worker.until(lambda: is_gone(processes[0]), 20) < 20
    assert worker.ended(run_id, 120)["state_type"] == "CANCELLED"
    assert worker.run(child["id"])["state_type"] == "CANCELLED"
    worker.until(lambda: all(map(is_gone, processes)), 60)
    assert worker.workers("gpu") == []


def test_search_and_fine_tuning_go_to_the_pool_which_is_woken_and_put_to_sleep_once(worker: Prefect) -> None:
    space = {"sizes_px": [64], "fit": ["letterbox"], "backbones": ["efficientnet_lite0"], "epochs": [1]}
    search = {"mode": "on", "max_trials": 1, "bases": 1, "survivors": 1, "space": space}
    run_id = worker.submit("retrain-small", search=search)
    searching = worker.running_child(run_id, "search small")
    awake = worker.local_worker()
    worker.running_child(run_id)
    assert worker.local_worker() == awake, "it did not sleep in between"
    ended = worker.ended(run_id)
    assert ended["state_type"] == "COMPLETED", ended["state"]["message"]
    children = worker.children(run_id)
    assert children.keys() == {"search small", "fine-tune small"}
    assert {(row["work_pool_name"], row["state_type"]) for row in children.values()} == {("gpu", "COMPLETED")}
    assert children["search small"]["id"] == searching["id"]
    assert worker.workers("gpu") == [], "compute sleeps again"
    nodes = {row["name"] for row in worker.post("/task_runs/filter", flow_runs={"id": {"any_": [run_id]}})}
    assert {"search on gpu", "fine-tune on gpu", "export"} <= nodes
    assert "small-leaderboard" in {row["key"] for row in worker.post("/artifacts/filter")}


def test_a_run_that_died_with_its_worker_is_crashed_within_two_minutes(
    worker: Prefect, orphan: tuple[str, float]
) -> None:
    run_id, killed = orphan
    left = 120 - (time.monotonic() - killed)
    ended = worker.ended(run_id, max(left, 1))
    assert ended["state_type"] == "CRASHED"
    assert "No heartbeat" in ended["state"]["message"]


def _champion(worker: Prefect) -> str:
    aliases = sorted(Path(worker.workspace, "models", "small", "aliases").iterdir())
    return str(json.loads(aliases[-1].read_text())["champion"])
