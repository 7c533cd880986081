"""The run form's section for the machines behind a work pool."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from tasks.record import Frozen

ComputeStatus = Literal["asleep", "starting", "ready"]


class NoCompute(Frozen):
    """Machines that are always there, or that somebody else sees to."""

    model_config = ConfigDict(title="none")

    kind: Literal["none"] = Field(default="none", description="Nothing is woken.")


class LocalCompute(Frozen):
    """A worker process on the machine that runs the retraining."""

    model_config = ConfigDict(title="local")

    kind: Literal["local"] = Field(default="local", description="A worker process on this machine.")


class SupervisorCompute(Frozen):
    """A worker that a local supervisor keeps running, or stopped; supervisor starts it again when it dies."""

    model_config = ConfigDict(title="supervisor")

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


class AzureVmCompute(Frozen):
    """An Azure virtual machine that runs a worker: started, and deallocated so that it costs nothing asleep."""

    model_config = ConfigDict(title="azure-vm")

    kind: Literal["azure-vm"] = Field(default="azure-vm", description="A virtual machine in Azure.")
    subscription_id: str = Field(
        pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", description="Azure subscription."
    )
    resource_group: str = Field(min_length=1, max_length=90, description="Its resource group.")
    vm_name: str = Field(min_length=1, max_length=64, description="Name of the virtual machine.")
    stopped_within_seconds: int = Field(
        default=900, ge=1, le=7_200, description="How long deallocation may take before it counts as failed."
    )


class KubernetesCompute(Frozen):
    """A Kubernetes Deployment of workers, scaled to 0 while there is no work."""

    model_config = ConfigDict(title="kubernetes")

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


class ComputeSettings(Frozen, title="Compute"):
    """Where the fine-tuning runs, and which machines are woken for it."""

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
