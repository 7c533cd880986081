"""Runs to come: the next ones of every schedule stand on the server, however far away they are.

Prefect's scheduler looks 100 days ahead, so that a half-yearly run would be missing from the upcoming runs for
most of the year. The server's own scheduling endpoint takes a later end; the scheduler gives a run the same
idempotency key (deployment, schedule, time), so that none is made twice (prefect/server/models/deployments.py,
`_generate_scheduled_flow_runs`).
"""

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

OURS = "lightbox"
"""Tag of every deployment and automation that `lightbox deploy` made."""

HORIZON = timedelta(days=3 * 366)
UPCOMING_RUNS = 2


def ensure_upcoming_runs(server: SyncPrefectClient) -> int:
    """Make the next two runs of each active schedule of our deployments; returns how many were missing."""
    deployments = server.read_deployments(
        deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[OURS])), limit=200
    )
    return sum(
        _ensure(server, deployment.id)
        for deployment in deployments
        if not deployment.paused and any(schedule.active for schedule in deployment.schedules)
    )


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
