"""What is registered with the Prefect server, as typed rows: work pools and the deployments that all data sets share.

What belongs to one data set (its images, schedule, bar, people) stands in a file of its own, see `data_set_file`.
"""

from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from prefect.client.schemas.schedules import CronSchedule
from pydantic import Field, field_validator

from tasks.record import Frozen

HALF_YEARLY: Final = "0 3 1 1,7 *"
HOURLY: Final = "17 * * * *"
CRON_FIELDS: Final = 5
"""Prefect takes a sixth for seconds, at the end, where most programs that know one have it at the beginning."""

HEARTBEAT_SECONDS: Final = 30
"""Prefect's smallest; a run that was silent for three of these is dead."""


class Row(Frozen):
    """One row."""


class WorkPool(Row):
    """Where runs are sent, and how many of them may run at once."""

    name: str = Field(min_length=1, description="Its name, which workers are started with.")
    type: Literal["process", "docker", "kubernetes"] = Field(
        default="process",
        description="process: on the machine of its worker. docker, kubernetes: in a container.",
    )
    description: str = Field(description="What it is for.")
    concurrency_limit: int | None = Field(
        default=None, ge=0, description="Runs at once; left out, any number."
    )


class Schedule(Row):
    """When something runs by itself."""

    cron: str = Field(
        description="Minute, hour, day, month, weekday: 0 3 1 1,7 * is 03:00 on 1 January and 1 July."
    )
    time_zone: str = Field(
        default="UTC", description="IANA name, such as Europe/Berlin; daylight saving is kept."
    )

    @field_validator("cron")
    @classmethod
    def _cron_is_valid(cls, value: str) -> str:
        fields = value.split()
        if not value.startswith("@") and len(fields) != CRON_FIELDS:
            raise ValueError(
                f"{value} has {len(fields)} fields: write {CRON_FIELDS}, minute, hour, day, month and weekday, such as "
                f"{HALF_YEARLY}"
            )
        CronSchedule(cron=value)
        if not _ever_fires(value):
            raise ValueError(
                f"{value} never comes: none of its months has such a day; write one that there is, as {HALF_YEARLY}"
            )
        return value

    @field_validator("time_zone")
    @classmethod
    def _zone_is_known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{value} is no IANA time zone, such as Europe/Berlin") from error
        return value


def _ever_fires(cron: str) -> bool:
    """Whether there is a next time, by what Prefect's scheduler itself asks."""
    scheduler: Any = import_module("prefect._vendor.croniter")  # without types
    try:
        scheduler.croniter(cron, datetime.now(UTC)).get_next(datetime)
    except scheduler.CroniterBadDateError:
        return False
    return True


class Channel(Row):
    """A way to people: a notification block on the server, which holds the address and its secrets."""

    kind: Literal["slack", "teams", "email", "webhook"] = Field(description="What kind of block it is.")
    block: str = Field(pattern=r"^[a-z0-9-]+$", description="Name of the block on the Prefect server.")

    @property
    def name(self) -> str:
        """Such as webhook-radiology."""
        return f"{self.kind}-{self.block}"

    @property
    def tag(self) -> str:
        """Runs with this tag are told of on this channel."""
        return f"notify-{self.name}"


class Deployment(Row):
    """A flow that can be run from the UI, by the API or by its schedule."""

    name: str = Field(min_length=1, description="Its name on the server.")
    entrypoint: str = Field(pattern=r"^flows\.[a-z_.]+$", description="Module path of the flow.")
    pool: str = Field(description="Work pool that runs it.")
    description: str = Field(description="What it does, for the UI.")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="What the form shows at first; no secrets."
    )
    schedules: tuple[Schedule, ...] = Field(default=(), description="When it runs by itself.")
    tags: tuple[str, ...] = Field(default=(), description="Tags of its runs.")
    concurrency_limit: int | None = Field(
        default=None, ge=1, description="Runs at once; left out, any number."
    )
    on_overlap: Literal["wait", "cancel"] = Field(
        default="wait", description="What a run above that limit does: wait for its turn, or be cancelled."
    )


POOLS: Final = (
    WorkPool(name="default", description="Everything that needs no GPU."),
    WorkPool(name="gpu", description="What trains: one run at a time on the GPU.", concurrency_limit=1),
)

SHARED: Final = (
    Deployment(
        name="retrain",
        entrypoint="flows.retrain.retrain",
        pool="default",
        description="The whole main job on any images: fill in the form.",
    ),
    Deployment(
        name="fine-tune",
        entrypoint="flows.fine_tune.fine_tune",
        pool="gpu",
        description="The part of a retraining that needs a GPU. Sent by retrain, from references in the workspace.",
    ),
    Deployment(
        name="search",
        entrypoint="flows.search.search_recipes",
        pool="gpu",
        description="The search of a retraining, which trains too. Sent by retrain, where recipes are to be searched.",
    ),
    Deployment(
        name="score",
        entrypoint="flows.score.score_store",
        pool="default",
        description="Score every image of a store with a model, to Parquet and CSV.",
    ),
    Deployment(
        name="label",
        entrypoint="flows.label.label",
        pool="default",
        description="Sync a labelling with Label Studio, for any images: fill in the form.",
    ),
    Deployment(
        name="compute-start",
        entrypoint="flows.compute.compute_start",
        pool="default",
        description="Wake the machines behind a work pool and wait until a worker is online.",
        parameters={"pool": "gpu"},
    ),
    Deployment(
        name="compute-stop",
        entrypoint="flows.compute.compute_stop",
        pool="default",
        description="Drain a work pool and put the machines behind it to sleep.",
        parameters={"pool": "gpu"},
    ),
    Deployment(
        name="watchdog",
        entrypoint="flows.watchdog.watchdog",
        pool="default",
        description="Marks runs whose worker died, stops compute that was forgotten, keeps runs to come in sight.",
        schedules=(Schedule(cron=HOURLY),),
        concurrency_limit=1,
        on_overlap="cancel",
    ),
)
