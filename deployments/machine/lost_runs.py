"""Runs whose process is gone without the server knowing: they are run again, and go on from their finished stages.

That is what a stop in the middle, a power failure, or a worker killed together with its run leaves behind. A worker
that lives reports its runs' ends itself.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from pydantic import Field

from deployments.machine.machine import Machine
from deployments.machine.prefect_api import ask_prefect, workers_of
from deployments.machine.processes import processes_of
from tasks.record import Frozen

MOST_ATTEMPTS: Final = 3
"""A run that was lost so often is the cause of it, such as by taking all memory."""

STARTING: Final = timedelta(minutes=2)
"""A run that a worker has taken has a process by then."""

_TAKEN: Final = ("PENDING", "RUNNING", "CANCELLING")


class LostRun(Frozen):
    """A run that no process works on, and what becomes of it."""

    id: str = Field(description="Its id.")
    name: str = Field(description="Its name.")
    outcome: Literal["run again", "crashed", "cancelled"] = Field(description="What becomes of it.")


def lost_runs(machine: Machine, *, workers_run: bool) -> tuple[LostRun, ...]:
    """Runs of this machine's workers that have no process.

    A run that a running worker has just taken has none yet, and is not counted.

    Raises: httpx.HTTPError when the server does not answer.
    """
    taken = taken_runs(machine)
    alive = {process.flow_run for process in processes_of(machine.mark)}
    ours = {part.pool for part in machine.parts if part.pool and not _served_elsewhere(machine, part.pool)}
    return tuple(
        LostRun(id=run["id"], name=run["name"], outcome=_outcome(run, bounded=workers_run))
        for run in taken
        if run["work_pool_name"] in ours
        and run["id"] not in alive
        and not (workers_run and _is_starting(run))
    )


def taken_runs(machine: Machine) -> list[dict[str, Any]]:
    """Runs that a worker has taken and that have not ended.

    Raises: httpx.HTTPError when the server does not answer.
    """
    taken = {"state": {"type": {"any_": _TAKEN}}, "deployment_id": {"is_null_": False}}
    found: list[dict[str, Any]] = ask_prefect(machine, "flow_runs/filter", {"flow_runs": taken})
    return found


def see_to(machine: Machine, lost: Collection[LostRun]) -> None:
    """Have lost runs run again, or say that they have ended.

    Raises: httpx.HTTPError when the server does not answer.
    """
    for run in lost:
        body = {"state": _STATES[run.outcome], "force": True}
        ask_prefect(machine, f"flow_runs/{run.id}/set_state", body)


_STATES: Final[dict[str, dict[str, str]]] = {
    "run again": {
        "type": "SCHEDULED",
        "name": "AwaitingRetry",
        "message": "Its process was gone; it is run again and goes on from the last finished stage.",
    },
    "crashed": {
        "type": "CRASHED",
        "name": "Crashed",
        "message": f"Its process was gone again, in attempt {MOST_ATTEMPTS}; it is not run again by itself.",
    },
    "cancelled": {"type": "CANCELLED", "name": "Cancelled", "message": "Its process was gone."},
}


def _outcome(run: dict[str, Any], *, bounded: bool) -> Literal["run again", "crashed", "cancelled"]:
    """A stop of the machine does not count against a run."""
    if run["state_type"] == "CANCELLING":
        return "cancelled"
    return "crashed" if bounded and run["run_count"] >= MOST_ATTEMPTS else "run again"


def _served_elsewhere(machine: Machine, pool: str) -> bool:
    """Whether a worker that is not ours serves the pool too: its runs have no process here."""
    return any(
        row["name"] != f"worker-{pool}" and row["status"] == "ONLINE" for row in workers_of(machine, pool)
    )


def _is_starting(run: dict[str, Any]) -> bool:
    if run["state_type"] != "PENDING":
        return False
    since = datetime.fromisoformat(run["state"]["timestamp"])
    return datetime.now(UTC) - since < STARTING
