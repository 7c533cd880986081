"""Compute behind a pool: woken, waited for, left awake, stopped and watched, with a real server and worker."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.actions import VariableCreate, WorkPoolUpdate
from support.services.prefect_ui import Prefect, is_gone

from flows.dispatch import wait_for_end
from flows.watchdog import WatchdogLimits, Watched, watchdog
from tasks.compute.drivers import put_to_sleep
from tasks.compute.local_worker import LocalWorker, WorkerProcess
from tasks.compute.settings import ComputeSettings, LocalCompute
from tasks.errors import ComputeUnavailable
from tasks.server.work_pool import client, drain_began, drain_mark, online_workers, resume

pytestmark = [pytest.mark.service, pytest.mark.slow]

NOW = WatchdogLimits(idle_minutes=0, drain_minutes=60)


def test_a_local_worker_is_woken_once_left_awake_for_work_and_stopped(
    worker: Prefect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTBOX_CACHE", str(worker.cache))
    driver = LocalWorker("gpu")
    assert driver.status() == "asleep"
    driver.stop()
    with client() as server:
        server.update_work_pool("gpu", WorkPoolUpdate(is_paused=True))
    driver.start()
    process = worker.local_worker()
    driver.start()
    assert worker.local_worker() == process, "starting again starts nothing"
    worker.until(lambda: driver.status() == "ready", 90)
    assert online_workers("gpu") == [process.name]

    waiting = _due_on_the_pool(worker)
    slept = put_to_sleep("gpu", LocalCompute(), drain_seconds=0)
    assert not slept.asleep
    assert "1 runs wait for the pool gpu" in slept.reason
    worker.cancel(waiting)
    worker.ended(waiting, 20)
    resume("gpu")

    found = watchdog([Watched(pool="gpu", driver=LocalCompute())], NOW)
    assert found.stopped == ["gpu"]
    assert is_gone(process.pid)
    assert driver.status() == "asleep"
    assert worker.workers("gpu") == []
    assert watchdog([Watched(pool="gpu", driver=LocalCompute())], NOW).stopped == []


def test_without_a_worker_a_run_fails_in_time_and_says_how_to_help(worker: Prefect) -> None:
    with client() as server:
        due = server.read_flow_run(UUID(_due_on_the_pool(worker)))
    impatient = ComputeSettings(pool="gpu", ready_within_seconds=5)
    with pytest.raises(ComputeUnavailable, match="'gpu' came online within 5 s") as caught:
        wait_for_end(due, "gpu", impatient)
    assert "prefect worker start --pool gpu" in caught.value.cure
    worker.cancel(str(due.id))


def _due_on_the_pool(worker: Prefect) -> str:
    """A run that waits for the pool gpu; its id."""
    deployment = worker.post(
        "/deployments/",
        name="due",
        flow_id=worker.deployment("compute-start")["flow_id"],
        entrypoint="flows.compute.compute_start",
        work_pool_name="gpu",
        parameters={"pool": "gpu"},
    )
    return worker.submit(deployment["name"])


def test_a_pool_left_paused_by_a_drain_is_resumed_and_one_paused_by_a_person_is_not(worker: Prefect) -> None:
    with client() as server:
        server.update_work_pool("gpu", WorkPoolUpdate(is_paused=True))
        assert watchdog(limits=NOW).resumed == []
        assert server.read_work_pool("gpu").is_paused
        began = datetime.now(UTC) - timedelta(hours=2)
        server.create_variable(VariableCreate(name=drain_mark("gpu"), value=began.isoformat()))
        assert drain_began("gpu") == began
        assert watchdog(limits=NOW).resumed == ["gpu"]
        assert not server.read_work_pool("gpu").is_paused
        assert drain_began("gpu") is None


def test_another_process_with_a_workers_number_is_not_taken_for_it(tmp_path: Path) -> None:
    record = WorkerProcess(pid=os.getpid(), name="lightbox-local-gone")
    (tmp_path / "worker.json").write_text(record.model_dump_json())
    assert LocalWorker("gpu", tmp_path).status() == "asleep"
