"""Schedules: what the rows say, what a person changed in the UI, and which of the two holds.

A schedule's slug is made from its row, so that a changed row is another schedule. One that still has its slug but
other times was changed by hand, one that was deployed and is gone was removed by hand: both stay as they are,
unless a reset is asked for. Schedules that somebody added have no slug of ours and are never touched.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.schedules import CronSchedule

from deployments.registered import Schedule
from tasks.record import Frozen

PREFIX = "lightbox-"


class ScheduleDifference(Frozen):
    """What is to be done about the schedules of one deployment."""

    create: tuple[Schedule, ...]
    delete: tuple[str, ...]
    kept: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """The changes, in words."""
        created = [f"schedule {row.cron} ({row.time_zone}) added" for row in self.create]
        return created + [f"schedule {slug} removed" for slug in self.delete]


def slug_of(row: Schedule) -> str:
    """Such as lightbox-1f0c9a2b."""
    return PREFIX + hashlib.sha256(f"{row.cron}\n{row.time_zone}".encode()).hexdigest()[:8]


def to_create(row: Schedule) -> DeploymentScheduleCreate:
    """The schedule as the server takes it."""
    return DeploymentScheduleCreate(
        schedule=CronSchedule(cron=row.cron, timezone=row.time_zone), active=True, slug=slug_of(row)
    )


def schedule_difference(
    wanted: Sequence[Schedule],
    found: Sequence[DeploymentSchedule],
    deployed: Sequence[str],
    *,
    reset: bool,
) -> ScheduleDifference:
    """Compare the rows with the server. `deployed` are the slugs that the last deploy left there."""
    rows = {slug_of(row): row for row in wanted}
    ours = {str(schedule.slug): schedule for schedule in found if str(schedule.slug).startswith(PREFIX)}
    changed = [slug for slug, row in rows.items() if slug in ours and not _as_row(ours[slug], row)]
    removed = [slug for slug in rows if slug not in ours and slug in deployed]
    missing = [slug for slug in rows if slug not in ours and slug not in deployed]
    stale = [slug for slug in ours if slug not in rows]
    if reset:
        return ScheduleDifference(
            create=tuple(rows[slug] for slug in (*missing, *removed, *changed)),
            delete=(*stale, *changed),
            kept=(),
        )
    return ScheduleDifference(
        create=tuple(rows[slug] for slug in missing), delete=tuple(stale), kept=(*changed, *removed)
    )


def _as_row(schedule: DeploymentSchedule, row: Schedule) -> bool:
    said: Mapping[str, Any] = schedule.schedule.model_dump()
    return schedule.active and (said.get("cron"), said.get("timezone")) == (row.cron, row.time_zone)
