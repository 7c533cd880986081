"""The machines behind a work pool: woken when a training needs them, put to sleep when none does.

A driver knows how one kind of machine is started and stopped. What belongs to the pool, such as waiting for a
worker and draining before sleep, is the same for all of them and stands here.
"""

from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from tasks.work_pool import drained, online_workers, waiting_runs

ComputeStatus = Literal["asleep", "starting", "ready"]


class NoCompute(BaseModel):
    """Machines that are always there, or that somebody else sees to."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="none")

    kind: Literal["none"] = Field(default="none", description="Nothing is woken.")


class LocalCompute(BaseModel):
    """A worker process on the machine that runs the retraining."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="local")

    kind: Literal["local"] = Field(default="local", description="A worker process on this machine.")


DriverSettings = Annotated[NoCompute | LocalCompute, Field(discriminator="kind")]


class ComputeSettings(BaseModel):
    """Where the fine-tuning runs, and which machines are woken for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pool: str | None = Field(
        default=None,
        min_length=1,
        description="Work pool that the fine-tuning is sent to, such as gpu. Left out: it runs in the run itself.",
    )
    driver: DriverSettings = Field(
        default=NoCompute(), description="What is woken before, and put to sleep after."
    )
    ready_within_seconds: int = Field(
        default=900, ge=5, le=86_400, description="The run fails when no worker is online after this time."
    )
    drain_seconds: int = Field(
        default=60, ge=0, le=86_400, description="Before sleep: how long runs on the pool may take to end."
    )


class ComputeDriver(Protocol):
    """How one kind of machine is started and stopped. Every method may be called again without harm."""

    def start(self) -> None:
        """Begin to start; returns at once."""

    def stop(self) -> None:
        """Stop, and return when it has stopped."""

    def status(self) -> ComputeStatus:
        """Whether it sleeps, is on its way, or has a worker online."""


class AlwaysThere:
    """The driver of machines that are not ours to start."""

    def __init__(self, pool: str) -> None:
        self._pool = pool

    def start(self) -> None:
        """Nothing to do."""

    def stop(self) -> None:
        """Nothing to do."""

    def status(self) -> ComputeStatus:
        """Ready when the pool has a worker."""
        return "ready" if online_workers(self._pool) else "asleep"


def driver_of(pool: str, settings: DriverSettings) -> ComputeDriver:
    """The driver that the settings describe."""
    if settings.kind == "local":
        from tasks.local_worker import LocalWorker

        return LocalWorker(pool)
    return AlwaysThere(pool)


class Sleep(BaseModel):
    """Whether compute sleeps now, and why not where it does not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    asleep: bool = Field(description="Whether it was stopped, or slept already.")
    reason: str = Field(description="In words.")


def put_to_sleep(pool: str, settings: DriverSettings, *, drain_seconds: float) -> Sleep:
    """Drain the pool and stop what stands behind it; left awake while it has other work."""
    driver = driver_of(pool, settings)
    if settings.kind == "none" or driver.status() == "asleep":
        return Sleep(asleep=settings.kind != "none", reason="there is nothing to stop")
    if waiting := waiting_runs(pool):
        return Sleep(asleep=False, reason=f"left awake: {len(waiting)} runs wait for the pool {pool}")
    with drained(pool, drain_seconds) as left:
        if left:
            names = ", ".join(sorted(run.name for run in left)[:3])
            return Sleep(
                asleep=False, reason=f"left awake: {len(left)} runs on the pool {pool} go on ({names})"
            )
        driver.stop()
    return Sleep(asleep=True, reason=f"the compute of pool {pool} was put to sleep")
