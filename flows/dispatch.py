"""Dispatch: send what trains to a work pool, wake what stands behind it, wait, and let it sleep again."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any, Concatenate, ParamSpec, TypeVar, cast
from uuid import UUID

import httpx
from prefect import Flow
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.context import FlowRunContext
from prefect.deployments import run_deployment
from prefect.states import Cancelling
from pydantic_core import to_jsonable_python

from tasks.compute.drivers import driver_of, put_to_sleep
from tasks.compute.settings import ComputeSettings
from tasks.engine.run import Run
from tasks.engine.stage import add_timing, inside_flow_run
from tasks.errors import ComputeUnavailable
from tasks.record import digest_of
from tasks.server.upcoming import OURS
from tasks.server.work_pool import client, online_workers

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0

P = ParamSpec("P")
R = TypeVar("R")


def call(flow: Flow[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a flow as a subflow inside a flow run, else as the plain function that it is."""
    return flow(*args, **kwargs) if inside_flow_run() else flow.fn(*args, **kwargs)


@contextmanager
def machines_of(compute: ComputeSettings) -> Iterator["Machines"]:
    """The machines that training flows are sent to. They sleep again when all that was sent inside has ended well.

    `sleep_after` sees to every other end.
    """
    machines = Machines(compute)
    yield machines
    if machines.pool is not None:
        put_to_sleep(machines.pool, compute.driver, drain_seconds=compute.drain_seconds)


class Machines:
    """A work pool and what stands behind it; this process where no pool is set or no server runs this."""

    def __init__(self, compute: ComputeSettings) -> None:
        self._compute = compute
        self.pool = compute.pool if inside_flow_run() else None

    def run(
        self,
        flow: Flow[Concatenate[Run, P], R],
        read: Callable[[Run], R],
        run: Run,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run a flow there, and wait for it; `read` says what it wrote down for a parent elsewhere.

        Raises:
            ComputeUnavailable: no worker comes online in time, or the flow run on the pool ends badly.
        """
        if self.pool is None:
            return call(flow, run, *args, **kwargs)
        given = signature(flow.fn).bind(run, *args, **kwargs).arguments
        parameters = {name: to_jsonable_python(value) for name, value in given.items() if name != "run"}
        began = time.perf_counter()
        child = _sent(flow, run, parameters, self.pool)
        try:
            child = wait_for_end(child, self.pool, self._compute)
        except ComputeUnavailable:
            _cancel(child.id)
            raise
        except BaseException:
            # Cancelled by a person: the child must not go on. Otherwise it may: a retry of this run finds it again.
            # `sleep_after` sees to the compute, outside this process, which may have only seconds left.
            if _parent_is_cancelled():
                _cancel(child.id)
            raise
        if child.state_type is not StateType.COMPLETED:
            raise _ended_badly(child, self.pool)
        add_timing(f"{flow.name} on {self.pool}", time.perf_counter() - began, reused=False, node=run.node)
        return read(Run.model_validate(child.parameters["run"]))


def sleep_after(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001 - Prefect's
    """Hook of a run that failed, was cancelled or killed: its compute sleeps, a cancelled run's children end."""
    compute = ComputeSettings.model_validate(flow_run.parameters.get("compute") or {})
    if compute.pool is None:
        return
    if state.type in {StateType.CANCELLED, StateType.CANCELLING}:
        for child in _children(flow_run.id):
            _cancel(child.id)
    # After a crash its child may go on for a retry to find, and the worker reports the crash only after this hook:
    # waiting here would let that report hit the retry.
    patience = 0.0 if state.type is StateType.CRASHED else float(compute.drain_seconds)
    put_to_sleep(compute.pool, compute.driver, drain_seconds=patience)


def _sent(flow: Flow[..., Any], run: Run, parameters: dict[str, Any], pool: str) -> FlowRun:
    """The child: a new one, or the one that an earlier attempt of this very run has sent and that lives or is done.

    A child that ended badly before is not taken: the attempt's number is part of the key.
    """
    deployment = _deployment(flow, pool)
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise ComputeUnavailable(
            "A training can only be sent to a work pool by a flow run.", cure="leave the pool out"
        )
    key = f"{context.flow_run.id}-{digest_of([flow.name, parameters])[:32]}"
    began = context.start_time
    for attempt in range(1, 100):
        sent = run_deployment(
            deployment,
            parameters={"run": run.model_dump(mode="json"), **parameters},
            flow_run_name=f"{flow.name} {run.name}",
            timeout=0,
            idempotency_key=f"{key}-{attempt}",
            as_subflow=True,
        )
        child = cast("FlowRun", sent)  # awaitable only where an event loop runs
        ended_badly = child.state is not None and child.state.is_final() and not child.state.is_completed()
        if not (ended_badly and child.state and child.state.timestamp < began):
            _name_node(child, f"{flow.name} on {pool}")
            return child
    raise ComputeUnavailable("The training ended badly a hundred times.", cure="start a new run")


def _name_node(child: FlowRun, name: str) -> None:
    """Prefect gives the child's node in the parent's graph a name at random."""
    if child.parent_task_run_id is not None:
        with client() as server:
            node = {"id": child.parent_task_run_id}
            server.request("PATCH", "/task_runs/{id}", path_params=node, json={"name": name})


def _deployment(flow: Flow[..., Any], pool: str) -> UUID:
    with client() as server:
        found = server.read_deployments(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow.name])),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
            deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[OURS])),
        )
    if not found:
        raise ComputeUnavailable(
            f"There is no {flow.name} deployment on the work pool '{pool}'.",
            cure="run `lightbox deploy`, or leave the pool out to train in the run itself",
        )
    return found[0].id


def wait_for_end(child: FlowRun, pool: str, compute: ComputeSettings) -> FlowRun:
    """Wait for the child's end; as long as no worker has taken it, see to it that one is there.

    A server that is restarted meanwhile is waited for.

    Raises: ComputeUnavailable when no worker comes online in time.
    """
    driver = driver_of(pool, compute.driver)
    alone_since = time.monotonic()
    while True:
        try:
            child, served = _looked_at(child.id, pool)
        except httpx.TransportError:
            logger.warning("the Prefect server does not answer; waiting for it")
            alone_since = time.monotonic()
        else:
            if child.state is not None and child.state.is_final():
                return child
            if served:
                alone_since = time.monotonic()
            else:
                driver.start()
            if time.monotonic() - alone_since > compute.ready_within_seconds:
                raise ComputeUnavailable(
                    f"No worker of the work pool '{pool}' came online within {compute.ready_within_seconds} s.",
                    cure=f"start one with `prefect worker start --pool {pool}`, look at its log, or raise "
                    "ready_within_seconds",
                )
        time.sleep(POLL_SECONDS)


def _looked_at(child_id: UUID, pool: str) -> tuple[FlowRun, bool]:
    """The child, and whether a worker has it or is there to take it."""
    with client() as server:
        child = server.read_flow_run(child_id)
    waiting = child.state_type in {StateType.SCHEDULED, StateType.PENDING}
    return child, not waiting or bool(online_workers(pool))


def _cancel(child_id: UUID) -> None:
    """Ask for the child's cancellation; one that nobody has taken yet is cancelled by that alone."""
    with client() as server:
        child = server.read_flow_run(child_id)
        if child.state is not None and not child.state.is_final():
            server.set_flow_run_state(child_id, Cancelling())


def _children(flow_run_id: UUID) -> list[FlowRun]:
    with client() as server:
        return server.read_flow_runs(
            flow_run_filter=FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[flow_run_id]))
        )


def _parent_is_cancelled() -> bool:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return False
    with client() as server:
        state = server.read_flow_run(context.flow_run.id).state
    return state is not None and (state.is_cancelling() or state.is_cancelled())


def _ended_badly(child: FlowRun, pool: str) -> ComputeUnavailable:
    said = (child.state.message if child.state else None) or "no message"
    return ComputeUnavailable(
        f"The training on the work pool '{pool}' ended as {child.state_name}: {said}",
        cure=f"look at the run {child.name} ({child.id}); a new run goes on from the last checkpoint",
    )
