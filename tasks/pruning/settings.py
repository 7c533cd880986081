"""What stays when a workspace is pruned."""

from typing import Final

from pydantic import Field

from tasks.record import Frozen

MIN_AGE_HOURS: Final = 24.0
"""A run may take that long, and what it writes is not referred to before its stage has ended."""


class PruneSettings(Frozen):
    """What stays, beside what an alias, a rollback or a comparison needs."""

    keep: int = Field(ge=1, description="Runs and versions that stay, beside those that an alias needs.")
    min_age_hours: float = Field(
        default=MIN_AGE_HOURS,
        ge=0,
        description="What was written since is left alone: a run may be at work on it.",
    )
    log_retention_days: int | None = Field(
        default=None, ge=1, description="The endpoint's log goes after so many days; left out, it stays."
    )
    log_picture_days: int | None = Field(
        default=None,
        ge=1,
        description="Pictures in the endpoint's log go after so many days, their rows stay; left out, they stay.",
    )
