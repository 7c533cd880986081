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


class SupervisorCompute(BaseModel):
    """A worker that a local supervisor keeps running, or stopped; supervisor starts it again when it dies."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="supervisor")

    kind: Literal["supervisor"] = Field(
        default="supervisor", description="A program of a supervisord on this machine."
    )
    socket: str = Field(
        min_length=2,
        pattern=r"^/",
        description="Path of supervisord's unix socket, as in [unix_http_server].",
    )
    program: str = Field(
        default="worker-gpu", min_length=1, description="Program, or group:program, that runs the worker."
    )


class AzureVmCompute(BaseModel):
    """An Azure virtual machine that runs a worker: started, and deallocated so that it costs nothing asleep."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="azure-vm")

    kind: Literal["azure-vm"] = Field(default="azure-vm", description="A virtual machine in Azure.")
    subscription_id: str = Field(
        pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", description="Azure subscription."
    )
    resource_group: str = Field(min_length=1, max_length=90, description="Its resource group.")
    vm_name: str = Field(min_length=1, max_length=64, description="Name of the virtual machine.")
    stopped_within_seconds: int = Field(
        default=900, ge=1, le=7_200, description="How long deallocation may take before it counts as failed."
    )


class KubernetesCompute(BaseModel):
    """A Kubernetes Deployment of workers, scaled to 0 while there is no work."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="kubernetes")

    kind: Literal["kubernetes"] = Field(default="kubernetes", description="A Deployment of workers.")
    namespace: str = Field(default="lightbox", min_length=1, max_length=63, description="Its namespace.")
    deployment: str = Field(default="worker-gpu", min_length=1, max_length=253, description="Its name.")
    replicas: int = Field(default=1, ge=1, le=1_000, description="Workers while awake.")
    stopped_within_seconds: int = Field(
        default=300,
        ge=1,
        le=7_200,
        description="How long its pods may take to end before it counts as failed.",
    )


DriverSettings = Annotated[
    NoCompute | LocalCompute | SupervisorCompute | AzureVmCompute | KubernetesCompute,
    Field(discriminator="kind"),
]


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
            from tasks.local_worker import LocalWorker

            return LocalWorker(pool)
        case SupervisorCompute():
            from tasks.supervised_worker import SupervisedWorker

            return SupervisedWorker(pool, settings)
        case AzureVmCompute():
            from tasks.azure_vm import AzureVm

            return AzureVm(pool, settings)
        case KubernetesCompute():
            from tasks.kubernetes_workers import KubernetesWorkers

            return KubernetesWorkers(pool, settings)
        case NoCompute():
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
