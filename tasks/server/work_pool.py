"""A Prefect work pool as the flows see it: who serves it, what runs on it, and how it is drained."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import VariableCreate, WorkPoolUpdate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound

from tasks.errors import ConfigError

MISSED_HEARTBEATS = 2.0
"""A worker that was silent for this many of its own intervals is counted as gone."""

STARTED = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
POLL_SECONDS = 1.0


def client() -> SyncPrefectClient:
    """A client of the server that is configured."""
    return get_client(sync_client=True)


def online_workers(pool: str) -> list[str]:
    """Names of the pool's workers that are heard of.

    The server's own status lags up to 90 s behind a worker that stopped, so the last heartbeat decides.

    Raises: ConfigError when there is no such pool.
    """
    with client() as server:
        try:
            workers = server.read_workers_for_work_pool(pool)
        except ObjectNotFound as error:
            raise _no_pool(pool) from error
    now = datetime.now(UTC)
    return [
        worker.name
        for worker in workers
        if worker.last_heartbeat_time is not None
        and now - worker.last_heartbeat_time
        < timedelta(seconds=MISSED_HEARTBEATS * (worker.heartbeat_interval_seconds or 30))
    ]


def forget_worker(pool: str, name: str) -> None:
    """Remove a worker that was stopped from the server's list; nothing where it is not there."""
    with client() as server:
        try:
            server.request(
                "DELETE",
                "/work_pools/{work_pool_name}/workers/{name}",
                path_params={"work_pool_name": pool, "name": name},
            )
        except ObjectNotFound:
            return
        except Exception as error:
            if getattr(getattr(error, "response", None), "status_code", None) != 404:
                raise


def started_runs(pool: str) -> list[FlowRun]:
    """Runs that a worker of the pool has taken and that have not ended."""
    return _runs(pool, *STARTED)


def waiting_runs(pool: str) -> list[FlowRun]:
    """Runs that are due and that no worker has taken yet."""
    now = datetime.now(UTC)
    return [
        run
        for run in _runs(pool, StateType.SCHEDULED)
        if run.expected_start_time is not None and run.expected_start_time <= now
    ]


def last_activity(pool: str) -> datetime | None:
    """When the pool's latest run ended; None where none ever did."""
    ended = [run.end_time for run in _runs(pool, *_ENDED) if run.end_time is not None]
    return max(ended, default=None)


@contextmanager
def drained(pool: str, within_seconds: float) -> Iterator[list[FlowRun]]:
    """Pause the pool until its runs have ended; yields the runs that outlasted the time, then resumes it.

    A worker must not be stopped while it holds a run: Prefect would leave the run in state Running and its
    slot taken (Prefect issues 22528, 16746). A variable on the server says that the pause is ours, so that the
    watchdog can lift it where this process dies inside.
    """
    mark = drain_mark(pool)
    with client() as server:
        _set_mark(server, mark)
        server.update_work_pool(pool, WorkPoolUpdate(is_paused=True))
    try:
        deadline = time.monotonic() + within_seconds
        while (left := started_runs(pool)) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        yield left
    finally:
        resume(pool)


def resume(pool: str) -> None:
    """Let the pool's workers take runs again, and remove the mark of a drain."""
    with client() as server:
        server.update_work_pool(pool, WorkPoolUpdate(is_paused=False))
        try:
            server.delete_variable_by_name(drain_mark(pool))
        except ObjectNotFound:
            return


def drain_began(pool: str) -> datetime | None:
    """When the drain that holds the pool paused began; None where there is none."""
    with client() as server:
        mark = server.read_variable_by_name(drain_mark(pool))
    return None if mark is None else datetime.fromisoformat(str(mark.value))


def drain_mark(pool: str) -> str:
    """Name of the variable that marks a drain of this pool."""
    return "lightbox_drain_" + "".join(
        letter if letter.isascii() and letter.isalnum() else "_" for letter in pool.lower()
    )


def _set_mark(server: SyncPrefectClient, name: str) -> None:
    if server.read_variable_by_name(name) is not None:
        server.delete_variable_by_name(name)
    server.create_variable(VariableCreate(name=name, value=datetime.now(UTC).isoformat()))


_ENDED = (StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED)


def _runs(pool: str, *types: StateType) -> list[FlowRun]:
    with client() as server:
        return server.read_flow_runs(
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types)))
            ),
            limit=200,
        )


def _no_pool(pool: str) -> ConfigError:
    return ConfigError(
        f"There is no work pool '{pool}' on this Prefect server.",
        cure="run `lightbox deploy`, or name a pool that it lists, or leave the pool out to train in the run itself",
    )
