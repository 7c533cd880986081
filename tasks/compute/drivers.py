"""The machines behind a work pool: woken when a training needs them, put to sleep when none does.

A driver knows how one kind of machine is started and stopped. What belongs to the pool, such as waiting for a
worker and draining before sleep, is the same for all of them and stands here.
"""

from typing import Protocol

from pydantic import Field

from tasks.compute.settings import (
    AzureVmCompute,
    ComputeStatus,
    DriverSettings,
    KubernetesCompute,
    LocalCompute,
    NoCompute,
    SupervisorCompute,
)
from tasks.record import Frozen
from tasks.server.work_pool import drained, online_workers, waiting_runs


class ComputeDriver(Protocol):
    """How one kind of machine is started and stopped. Every method may be called again without harm."""

    def start(self) -> None:
        """Begin to start; returns at once. Called again until a worker is online, and tells then what went wrong."""

    def stop(self) -> None:
        """Stop, and return when it has stopped."""

    def status(self) -> ComputeStatus:
        """Whether it sleeps and costs nothing, is on its way (or awake in vain), or has a worker online."""


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
    """The driver that the settings describe.

    Raises: ConfigError when the driver's package is not installed or it has no credentials.
    """
    match settings:
        case LocalCompute():
            from tasks.compute.local_worker import LocalWorker

            return LocalWorker(pool)
        case SupervisorCompute():
            from tasks.compute.supervised_worker import SupervisedWorker

            return SupervisedWorker(pool, settings)
        case AzureVmCompute():
            from tasks.compute.azure_vm import AzureVm

            return AzureVm(pool, settings)
        case KubernetesCompute():
            from tasks.compute.kubernetes_workers import KubernetesWorkers

            return KubernetesWorkers(pool, settings)
        case NoCompute():
            return AlwaysThere(pool)


class Sleep(Frozen):
    """Whether compute sleeps now, and why not where it does not."""

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
