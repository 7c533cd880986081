"""Runs to come: the next ones of every schedule stand on the server, however far away they are.

Prefect's scheduler looks 100 days ahead, so that a half-yearly run would be missing from the upcoming runs for
most of the year. The server's own scheduling endpoint takes a later end; the scheduler gives a run the same
idempotency key (deployment, schedule, time), so that none is made twice (prefect/server/models/deployments.py,
`_generate_scheduled_flow_runs`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort

from tasks.errors import scrubbed

OURS = "lightbox"
"""Tag of every deployment and automation that `lightbox deploy` made."""

HORIZON = timedelta(days=3 * 366)
UPCOMING_RUNS = 2


@dataclass(frozen=True)
class Ensured:
    """How many runs to come were missing and made, and for which deployments none could be made, with why."""

    made: int
    failed: tuple[str, ...]


def ensure_upcoming_runs(server: SyncPrefectClient) -> Ensured:
    """Make the next two runs of each active schedule of our deployments; one that fails keeps none from the others."""
    deployments = server.read_deployments(
        deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[OURS])), limit=200
    )
    made, failed = 0, []
    for deployment in deployments:
        if deployment.paused or not any(schedule.active for schedule in deployment.schedules):
            continue
        try:
            made += _ensure(server, deployment.id)
        except Exception as error:  # noqa: BLE001 - whatever a server answers, such as to a schedule that never comes
            crons = ", ".join(
                str(getattr(row.schedule, "cron", row.schedule)) for row in deployment.schedules
            )
            reason = scrubbed(str(error).partition("\n")[0])
            failed.append(f"no runs to come of {deployment.name} ({crons}): {type(error).__name__} {reason}")
    return Ensured(made, tuple(failed))


def upcoming_runs(server: SyncPrefectClient, deployment_id: UUID) -> list[datetime]:
    """When the deployment's scheduled runs are due, soonest first."""
    runs = server.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[deployment_id]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        ),
        sort=FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC,
        limit=200,
    )
    return [run.next_scheduled_start_time for run in runs if run.next_scheduled_start_time is not None]


def _ensure(server: SyncPrefectClient, deployment_id: UUID) -> int:
    before = len(upcoming_runs(server, deployment_id))
    server.request(
        "POST",
        "/deployments/{id}/schedule",
        path_params={"id": deployment_id},
        json={
            "end_time": (datetime.now(UTC) + HORIZON).isoformat(),
            "min_time": 0.0,
            "min_runs": UPCOMING_RUNS,
            "max_runs": UPCOMING_RUNS,
        },
    )
    return len(upcoming_runs(server, deployment_id)) - before
