"""The `azure-vm` compute driver: one virtual machine, started and deallocated through Azure Resource Manager.

The machine starts its worker by itself when it boots. Asleep means deallocated: a machine that is only powered off
goes on costing (https://learn.microsoft.com/azure/virtual-machines/states-billing).
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tasks.compute.settings import AzureVmCompute, ComputeStatus
from tasks.errors import ComputeUnavailable, ConfigError, LightboxError
from tasks.server.work_pool import online_workers

if TYPE_CHECKING:
    from azure.core.exceptions import HttpResponseError
    from azure.core.polling import LROPoller
    from azure.mgmt.compute import ComputeManagementClient

ASLEEP = "deallocated"
ON_ITS_WAY = ("starting", "running")
LEAVING = ("deallocating", "stopping")
"""Azure refuses to start a machine that is still stopping; the next call finds it stopped."""

# https://learn.microsoft.com/troubleshoot/azure/virtual-machines/windows/allocation-failure
NO_CAPACITY = (
    "AllocationFailed",
    "ZonalAllocationFailed",
    "OverconstrainedAllocationRequest",
    "OverconstrainedZonalAllocationRequest",
    "SkuNotAvailable",
)
ROLE_ACTIONS = (
    "Microsoft.Compute/virtualMachines/read",
    "Microsoft.Compute/virtualMachines/instanceView/read",
    "Microsoft.Compute/virtualMachines/start/action",
    "Microsoft.Compute/virtualMachines/deallocate/action",
)
# learn.microsoft.com/azure/azure-resource-manager/management/async-operations#permission-for-tracking-async-status
PROGRESS_ACTION = "Microsoft.Compute/locations/operations/read"
"""On the subscription; without it the machine's own state tells how the deed went, but not why it failed."""
POLL_SECONDS = 5.0
RETRIES = 3
"""Of a request that Azure throttles or fails; the SDK's own ten can take minutes, and `start` returns at once."""


class AzureVm:
    """Starts and deallocates one virtual machine."""

    def __init__(
        self, pool: str, settings: AzureVmCompute, client: "ComputeManagementClient | None" = None
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._machines = (client or _client(settings.subscription_id)).virtual_machines
        self._starting: LROPoller[None] | None = None

    def start(self) -> None:
        """Ask Azure to start the machine, once; a later call tells when Azure could not.

        Raises: ComputeUnavailable without capacity or quota; ConfigError without the machine or the right.
        """
        if self._starting is not None:
            if self._starting.done():
                poller, self._starting = self._starting, None
                with self._explained("start"):
                    followed = _followed(poller)
                if not followed and self._power() == ASLEEP:
                    raise ComputeUnavailable(
                        f"{self._label} did not start, and this identity may not see why.",
                        cure=f"give it {PROGRESS_ACTION} on the subscription, or look at the machine's activity log",
                    )
            return
        if self._power() in (*ON_ITS_WAY, *LEAVING):
            return
        with self._explained("start"):
            self._starting = self._machines.begin_start(*self._name)

    def stop(self) -> None:
        """Deallocate the machine and wait until Azure says that it is.

        Raises: ComputeUnavailable when that fails or takes too long: it may then go on costing.
        """
        if self._power() == ASLEEP:
            return
        deadline = time.monotonic() + self._settings.stopped_within_seconds
        with self._explained("deallocate"):
            poller = self._machines.begin_deallocate(*self._name)
            if _followed(poller, self._settings.stopped_within_seconds):
                return
        while time.monotonic() < deadline:
            if self._power() == ASLEEP:
                return
            time.sleep(POLL_SECONDS)
        raise ComputeUnavailable(
            f"{self._label} was not deallocated within {self._settings.stopped_within_seconds} s; it may still cost.",
            cure="look at it in the Azure portal and press Stop; or raise stopped_within_seconds "
            "(--azure-stopped-within-seconds)",
        )

    def status(self) -> ComputeStatus:
        """Asleep only when deallocated: powered off from inside, it costs, and the watchdog must see that."""
        power = self._power()
        if power == ASLEEP:
            return "asleep"
        return "ready" if power == "running" and online_workers(self._pool) else "starting"

    @property
    def _name(self) -> tuple[str, str]:
        return self._settings.resource_group, self._settings.vm_name

    @property
    def _label(self) -> str:
        return f"The virtual machine '{self._settings.vm_name}' in '{self._settings.resource_group}'"

    def _power(self) -> str:
        """Such as running; unknown while Azure does not say, as in the first moments of a new machine."""
        with self._explained("look at"):
            view = self._machines.instance_view(*self._name)
        codes = [status.code or "" for status in view.statuses or []]
        states = [code.partition("/")[2] for code in codes if code.startswith("PowerState/")]
        return states[-1].lower() if states else "unknown"

    @contextmanager
    def _explained(self, deed: str) -> Iterator[None]:
        """Azure's errors as ours."""
        from azure.core.exceptions import (
            AzureError,
            ClientAuthenticationError,
            HttpResponseError,
        )

        try:
            yield
        except ClientAuthenticationError as error:
            raise ConfigError(
                f"Azure did not accept this machine's identity, to {deed} '{self._settings.vm_name}': "
                f"{_first_line(error.message)}",
                cure="give the machine a managed identity, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and "
                "AZURE_CLIENT_SECRET, or run `az login`",
            ) from error
        except HttpResponseError as error:
            raise self._refusal(deed, error) from error
        except AzureError as error:
            raise ComputeUnavailable(
                f"Azure does not answer, to {deed} '{self._settings.vm_name}': {_first_line(error.message)}",
                cure="look at the network between this machine and management.azure.com",
            ) from error

    def _refusal(self, deed: str, error: "HttpResponseError") -> LightboxError:
        code = (error.error.code if error.error else None) or f"HTTP {error.status_code}"
        said = f"{code}: {_first_line(error.error.message if error.error else error.message)}"
        if error.status_code == 403:
            return ConfigError(
                f"{self._label}: this identity may not {deed} it ({said}).",
                cure=f"give it a role with these actions on the machine: {', '.join(ROLE_ACTIONS)}",
            )
        if error.status_code == 404:
            return ConfigError(
                f"{self._label} does not exist in subscription {self._settings.subscription_id} ({said}).",
                cure="correct subscription_id, resource_group and vm_name of the compute driver "
                "(--azure-subscription-id, --azure-resource-group, --azure-vm-name)",
            )
        if code in NO_CAPACITY:
            return ComputeUnavailable(
                f"Azure has no free machine for '{self._settings.vm_name}' now ({said}).",
                cure="run the retraining again later; or resize the machine, or make it in another zone or region",
            )
        if "quota" in said.lower():
            return ComputeUnavailable(
                f"The quota of the subscription does not allow '{self._settings.vm_name}' to start ({said}).",
                cure="ask for more cores of this family in the Azure portal under Quotas, or stop another machine",
            )
        return ComputeUnavailable(
            f"{self._label}: Azure could not {deed} it ({said}).",
            cure="look at the machine's activity log in the Azure portal",
        )


def _client(subscription_id: str) -> "ComputeManagementClient":
    try:
        from azure.identity import DefaultAzureCredential
        from azure.mgmt.compute import ComputeManagementClient
    except ImportError as error:
        raise ConfigError(
            "The compute driver azure-vm needs azure-mgmt-compute, which is not installed.",
            cure="pip install 'lightbox[azure-compute]' where the retraining and the watchdog run",
        ) from error
    return ComputeManagementClient(DefaultAzureCredential(), subscription_id, retry_total=RETRIES)


def _followed(poller: "LROPoller[None]", within_seconds: float = 0.0) -> bool:
    """Whether the deed was done in time; False also where Azure does not let this identity follow it.

    Raises: HttpResponseError when the deed failed.
    """
    from azure.core.exceptions import HttpResponseError

    try:
        poller.wait(within_seconds)
    except HttpResponseError as error:
        if error.status_code == 403:
            return False
        raise
    return poller.done()


def _first_line(message: str | None) -> str:
    return (message or "no reason given").strip().splitlines()[0]
