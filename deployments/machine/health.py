"""Whether a part is well: what it answers, not only whether its process is there."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx

from deployments.machine.machine import Machine, Part
from deployments.machine.prefect_api import workers_of
from deployments.machine.supervision import ProgramState

ANSWER_SECONDS: Final = 5.0
HEARD_WITHIN: Final = timedelta(seconds=45)
"""A worker says every 10 s that it is there; one that was silent for longer than this hangs."""


def is_well(machine: Machine, part: Part, state: ProgramState) -> bool:
    """Whether a part runs and answers; a worker, whether it was heard of since it was started."""
    if state.statename != "RUNNING":
        return False
    try:
        if part.health is not None:
            answer = httpx.get(part.health, timeout=ANSWER_SECONDS)
            # Without a signature the blob store refuses, which is an answer.
            return answer.is_success or (part.name == "azurite" and answer.is_client_error)
        return part.pool is None or _was_heard(machine, part.pool, part, state)
    except httpx.HTTPError:
        return False


def _was_heard(machine: Machine, pool: str, part: Part, state: ProgramState) -> bool:
    heard = [_time(row) for row in workers_of(machine, pool) if row["name"] == part.name]
    now = datetime.now(UTC)
    return any(
        time.timestamp() >= state.start and now - time < HEARD_WITHIN for time in heard if time is not None
    )


def _time(worker: dict[str, Any]) -> datetime | None:
    said = worker["last_heartbeat_time"]
    return None if said is None else datetime.fromisoformat(said)
