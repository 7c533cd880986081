"""Watchdog: what was forgotten or left behind is put right, every hour, and said aloud."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events import emit_event
from prefect.events.filters import (
    EventFilter,
    EventNameFilter,
    EventOccurredFilter,
    EventResourceFilter,
)
from prefect.runtime import flow_run as this_run
from prefect.states import Crashed
from pydantic import Field

from tasks.compute.drivers import driver_of, put_to_sleep
from tasks.compute.settings import DriverSettings
from tasks.engine.flow_run import run_name
from tasks.errors import ComputeUnavailable, LightboxError, scrubbed
from tasks.record import Frozen
from tasks.server.upcoming import OURS, ensure_upcoming_runs
from tasks.server.work_pool import client, drain_began, last_activity, resume, started_runs

Result = TypeVar("Result")


class Watched(Frozen, title="Compute to watch"):
    """Compute that the watchdog looks after."""

    pool: str = Field(min_length=1, description="Work pool.")
    driver: DriverSettings = Field(description="What stands behind it.")


class WatchdogLimits(Frozen, title="Limits"):
    """How long something may last before it counts as left behind."""

    silent_minutes: float = Field(
        default=15,
        ge=2,
        description="A run without a heartbeat for this long is dead. Prefect's default is 3 min.",
    )
    idle_minutes: float = Field(
        default=30, ge=0, description="Compute without work for this long was forgotten, and is stopped."
    )
    drain_minutes: float = Field(
        default=120, ge=0, description="A pool paused for longer by a drain was left behind, and is resumed."
    )


class Findings(Frozen):
    """What was put right."""

    dead_runs: list[str] = Field(description="Runs that were marked as crashed.")
    stopped: list[str] = Field(description="Pools whose compute was put to sleep.")
    resumed: list[str] = Field(description="Pools that a drain had left paused.")
    scheduled: int = Field(description="Runs to come that were missing.")

    def in_words(self) -> str:
        """What was put right, or that nothing was amiss."""
        found = {
            "runs without a process ended": ", ".join(self.dead_runs),
            "compute put to sleep": ", ".join(self.stopped),
            "pools resumed": ", ".join(self.resumed),
            "runs to come added": str(self.scheduled or ""),
        }
        return "; ".join(f"{what}: {which}" for what, which in found.items() if which) or "nothing was amiss"


@flow(name="watchdog", flow_run_name=run_name, persist_result=False)
def watchdog(
    watched: list[Watched] | None = None,
    limits: WatchdogLimits = WatchdogLimits(),  # noqa: B008 - frozen
) -> Findings:
    """Mark runs whose worker died, stop forgotten compute, resume pools left paused, keep runs to come in sight.

    Args:
        watched: Work pools with compute to look after.
        limits: How long something may last.
    """
    failed: list[str] = []
    with client() as server:
        runs = _tried("unfinished runs", lambda: _unfinished(server), failed) or []
        dead = [
            run.name for run in runs if _tried(run.name, partial(_mark_dead, server, run, limits), failed)
        ]
        found = _tried("work pools", lambda: server.read_work_pools(limit=200), failed) or []
        pools = {row.pool for row in watched or []} | {pool.name for pool in found}
        resumed = [
            pool
            for pool in sorted(pools)
            if _tried(f"pool {pool}", partial(_resume_left_behind, pool, limits), failed)
        ]
        ensured = _tried("runs to come", lambda: ensure_upcoming_runs(server), failed)
    stopped = [
        row.pool
        for row in watched or []
        if _tried(f"compute of {row.pool}", partial(_stop_forgotten, row, limits), failed)
    ]
    failed += ensured.failed if ensured else ()
    if failed:
        raise ComputeUnavailable(
            "The watchdog did the rest of its work, but could not look after " + "; ".join(failed),
            cure="put that right; for compute, see by hand whether the machines run",
        )
    return Findings(
        dead_runs=dead, stopped=stopped, resumed=resumed, scheduled=ensured.made if ensured else 0
    )


def _tried(what: str, work: Callable[[], Result], failed: list[str]) -> Result | None:
    """The result of one piece of work, or None where it failed and is told: the others are done all the same."""
    try:
        return work()
    except LightboxError as error:
        failed.append(f"{what}: {error.message} ({error.cure})")
    except Exception as error:  # noqa: BLE001 - whatever a server or a cloud answers
        failed.append(f"{what}: {type(error).__name__} {scrubbed(str(error).partition(chr(10))[0])}")
    return None


def _unfinished(server: SyncPrefectClient) -> list[FlowRun]:
    """Our runs that hold a worker, but not this one."""
    runs = server.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            tags=FlowRunFilterTags(all_=[OURS]),
            state=FlowRunFilterState(
                type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.CANCELLING])
            ),
        ),
        limit=200,
    )
    return [run for run in runs if str(run.id) != this_run.id]


def _mark_dead(server: SyncPrefectClient, run: FlowRun, limits: WatchdogLimits) -> bool:
    """The automation `dead runs` is faster; this finds what it missed, such as while the server was down."""
    since = datetime.now(UTC) - timedelta(minutes=limits.silent_minutes)
    if run.state is None or run.state.timestamp > since:
        return False
    heard = server.read_events(
        EventFilter(
            occurred=EventOccurredFilter(since=since),
            event=EventNameFilter(name=["prefect.flow-run.heartbeat"]),
            resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
        ),
        limit=1,
    )
    if heard.total:
        return False
    message = f"No heartbeat for {limits.silent_minutes:g} min: the process or its worker is gone."
    server.set_flow_run_state(run.id, Crashed(message=message), force=True)
    return True


def _resume_left_behind(pool: str, limits: WatchdogLimits) -> bool:
    began = drain_began(pool)
    if began is None or datetime.now(UTC) - began < timedelta(minutes=limits.drain_minutes):
        return False
    resume(pool)
    return True


def _stop_forgotten(row: Watched, limits: WatchdogLimits) -> bool:
    if driver_of(row.pool, row.driver).status() == "asleep" or started_runs(row.pool):
        return False
    since = datetime.now(UTC) - timedelta(minutes=limits.idle_minutes)
    active = last_activity(row.pool)
    if active is not None and active > since:
        return False
    slept = put_to_sleep(row.pool, row.driver, drain_seconds=0)
    if slept.asleep:
        emit_event(
            event="lightbox.pool.stopped",
            resource={"prefect.resource.id": f"lightbox.pool.{row.pool}", "lightbox.headline": "true"},
            payload={
                "subject": f"Lightbox: forgotten compute of {row.pool} was stopped",
                "text": f"The compute behind the work pool {row.pool} had no work for {limits.idle_minutes:g} minutes "
                "and was put to sleep by the watchdog. The next retraining wakes it again.",
            },
        )
    return slept.asleep
