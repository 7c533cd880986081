"""The azure-vm driver: the real SDK against a server that answers as Azure's documentation says.

Shapes: github.com/Azure/azure-rest-api-specs, Microsoft.Compute, virtualMachineExamples
(VirtualMachine_Get_InstanceView, VirtualMachine_Start, VirtualMachine_Deallocate); long-running operations:
learn.microsoft.com/azure/azure-resource-manager/management/async-operations; errors:
learn.microsoft.com/troubleshoot/azure/virtual-machines/windows/allocation-failure and
learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-resource-quota.
"""

import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline import PipelineRequest
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.settings import PREFECT_API_URL, temporary_settings
from support.services.recorded_api import Answer, Asked, recorded_api

from flows.compute import compute_start
from flows.watchdog import WatchdogLimits, Watched, watchdog
from tasks.compute.azure_vm import AzureVm
from tasks.compute.drivers import put_to_sleep
from tasks.compute.settings import AzureVmCompute
from tasks.errors import ComputeUnavailable, ConfigError
from tasks.server.work_pool import client as prefect_client

SUBSCRIPTION = "00000000-1111-2222-3333-444444444444"
MACHINE = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/radiology/providers/Microsoft.Compute/virtualMachines/gpu1"
)
OPERATION = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/locations/westeurope/operations/"
SETTINGS = AzureVmCompute(
    subscription_id=SUBSCRIPTION, resource_group="radiology", vm_name="gpu1", stopped_within_seconds=20
)
NO_CAPACITY = {
    "code": "AllocationFailed",
    "message": "Allocation failed. We do not have sufficient capacity for the requested VM size in this region.",
}
NO_QUOTA = {
    "code": "OperationNotAllowed",
    "message": "Operation could not be completed as it results in exceeding approved Total Regional Cores quota.",
}


class Azure:
    """One virtual machine, in as many states as the driver can meet."""

    def __init__(self, power: str | None = "deallocated") -> None:
        self.power = power
        self.url = ""
        self.asked: list[tuple[str, str]] = []
        self.tokens: set[str] = set()
        self.refusal: tuple[int, dict[str, str]] | None = None
        self.failure: dict[str, str] | None = None
        self.polls = 2
        self.progress_is_secret = False
        self._operations: dict[str, list[str]] = {}

    @property
    def deeds(self) -> list[str]:
        """What was asked of the machine, in order."""
        return [path.rpartition("/")[2] for method, path in self.asked if method == "POST"]

    def answer(self, asked: Asked) -> Answer:
        """As Azure Resource Manager does."""
        self.asked.append((asked.method, asked.path))
        self.tokens.add(asked.headers["Authorization"])
        assert asked.query["api-version"], "the SDK says which version it speaks"
        if asked.path.startswith(OPERATION):
            said = self._progress(asked.path.rpartition("/")[2])
            denied = {
                "code": "AuthorizationFailed",
                "message": "No action 'Microsoft.Compute/locations/operations/read'.",
            }
            return Answer(403, {"error": denied}) if self.progress_is_secret else said
        if self.refusal is not None:
            return Answer(self.refusal[0], {"error": self.refusal[1]})
        if asked.path == f"{MACHINE}/instanceView":
            return Answer(body=self._view())
        assert asked.method == "POST"
        deed = asked.path.removeprefix(f"{MACHINE}/")
        name = str(uuid4())
        self._operations[name] = [deed] * (self.polls + 1)
        self.power = {"start": "starting", "deallocate": "deallocating"}[deed]
        address = f"{self.url}{OPERATION}{name}?api-version=2024-11-01"
        return Answer(202, None, {"Azure-AsyncOperation": address, "Location": address, "Retry-After": "0"})

    def _progress(self, name: str) -> Answer:
        left = self._operations[name]
        deed = left.pop() if len(left) > 1 else left[0]
        if len(left) > 1:
            return Answer(body={"name": name, "status": "InProgress"}, headers={"Retry-After": "0"})
        if self.failure is not None:
            self.power = "deallocated"
            return Answer(body={"name": name, "status": "Failed", "error": self.failure})
        self.power = {"start": "running", "deallocate": "deallocated"}[deed]
        return Answer(body={"name": name, "status": "Succeeded"})

    def _view(self) -> dict[str, Any]:
        statuses = [
            {
                "code": "ProvisioningState/succeeded",
                "level": "Info",
                "displayStatus": "Provisioning succeeded",
                "time": "2019-10-14T21:30:12.8051917+00:00",
            }
        ]
        if self.power is not None:
            statuses.append(
                {"code": f"PowerState/{self.power}", "level": "Info", "displayStatus": f"VM {self.power}"}
            )
        return {"computerName": "gpu1", "hyperVGeneration": "V2", "statuses": statuses}


class _Token:
    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        return AccessToken("a-token", int(time.time()) + 3600)


class _NoToken:
    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        raise ClientAuthenticationError("DefaultAzureCredential failed to retrieve a token.\nTried: ...")


class _OverPlainHttp(ARMChallengeAuthenticationPolicy):
    """The SDK's own policy; it sends tokens over TLS only, unless told otherwise."""

    def on_request(self, request: PipelineRequest[Any]) -> None:
        request.context.options["enforce_https"] = False
        super().on_request(request)


def _sdk(url: str, credential: Any) -> ComputeManagementClient:
    policy = _OverPlainHttp(credential, "https://management.azure.com/.default")
    return ComputeManagementClient(
        credential,
        SUBSCRIPTION,
        base_url=url,
        authentication_policy=policy,
        polling_interval=0,
        retry_total=0,
    )


@pytest.fixture
def azure() -> Iterator[Azure]:
    """An API with the machine deallocated."""
    machine = Azure()
    with recorded_api(machine.answer) as machine.url:
        yield machine


def _driver(azure: Azure, credential: Any = None) -> AzureVm:
    return AzureVm("cloud", SETTINGS, _sdk(azure.url, credential or _Token()))


def _until(driver: AzureVm, azure: Azure, power: str) -> None:
    deadline = time.monotonic() + 20
    while azure.power != power:
        driver.start()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_machine_is_started_once_and_deallocated_not_powered_off(azure: Azure) -> None:
    driver = _driver(azure)
    assert driver.status() == "asleep"
    driver.stop()
    assert azure.deeds == []
    driver.start()
    driver.start()
    _until(driver, azure, "running")
    driver.start()
    assert azure.deeds == ["start"]
    driver.stop()
    assert azure.power == "deallocated"
    assert azure.deeds == ["start", "deallocate"]
    assert driver.status() == "asleep"
    assert azure.tokens == {"Bearer a-token"}


@pytest.mark.parametrize("power", ["running", "starting", "deallocating", "stopping"])
def test_a_machine_that_runs_or_is_on_its_way_is_not_started_again(azure: Azure, power: str) -> None:
    azure.power = power
    _driver(azure).start()
    assert azure.deeds == []


@pytest.mark.parametrize("power", ["stopped", None])
def test_a_machine_powered_off_from_inside_costs_and_is_not_called_asleep(
    azure: Azure, power: str | None
) -> None:
    azure.power = power
    assert _driver(azure).status() == "starting"
    _driver(azure).stop()
    assert azure.deeds == ["deallocate"]


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (NO_CAPACITY, "no free machine for 'gpu1' now"),
        (NO_QUOTA, "quota of the subscription does not allow 'gpu1'"),
        ({"code": "InternalExecutionError", "message": "An internal error."}, "could not start it"),
    ],
)
def test_a_start_that_azure_gives_up_is_told_at_the_next_call_and_may_be_tried_again(
    azure: Azure, failure: dict[str, str], said: str
) -> None:
    azure.failure = failure
    driver = _driver(azure)
    driver.start()
    with pytest.raises(ComputeUnavailable, match=said) as caught:
        _until(driver, azure, "running")
    assert failure["code"] in caught.value.message
    azure.failure = None
    _until(driver, azure, "running")
    assert azure.deeds == ["start", "start"]


def test_a_deallocation_that_fails_or_hangs_says_that_the_machine_may_cost(azure: Azure) -> None:
    azure.power = "running"
    azure.failure = {"code": "InternalExecutionError", "message": "An internal error."}
    with pytest.raises(ComputeUnavailable, match="could not deallocate it"):
        _driver(azure).stop()
    azure.power, azure.failure, azure.polls = "running", None, 100_000
    impatient = SETTINGS.model_copy(update={"stopped_within_seconds": 1})
    with pytest.raises(ComputeUnavailable, match="within 1 s; it may still cost"):
        AzureVm("cloud", impatient, _sdk(azure.url, _Token())).stop()
    azure.polls = 0


def test_with_rights_on_the_machine_alone_its_state_tells_how_it_went(
    azure: Azure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.compute.azure_vm.POLL_SECONDS", 0.01)
    azure.progress_is_secret, azure.polls = True, 0
    driver = _driver(azure)
    _until(driver, azure, "running")
    driver.start()
    driver.stop()
    assert azure.power == "deallocated"
    assert azure.deeds == ["start", "deallocate"]
    azure.failure = NO_CAPACITY
    with pytest.raises(ComputeUnavailable, match="did not start, and this identity may not see why"):
        _until(_driver(azure), azure, "running")


@pytest.mark.parametrize(
    ("status", "code", "kind", "said"),
    [
        (403, "AuthorizationFailed", ConfigError, "this identity may not look at it"),
        (404, "ResourceNotFound", ConfigError, "does not exist in subscription 00000000"),
        (404, "ResourceGroupNotFound", ConfigError, "'gpu1' in 'radiology' does not exist"),
        (409, "Conflict", ComputeUnavailable, "could not look at it"),
        (503, "ServerTimeout", ComputeUnavailable, "ServerTimeout"),
    ],
)
def test_a_refusal_names_the_machine_and_a_cure(
    azure: Azure, status: int, code: str, kind: type[Exception], said: str
) -> None:
    azure.refusal = (status, {"code": code, "message": "As Azure words it."})
    with pytest.raises(kind, match=said) as caught:
        _driver(azure).status()
    assert "cure: " in str(caught.value)
    assert code in str(caught.value)


def test_without_an_identity_or_a_network_it_says_so(azure: Azure) -> None:
    with pytest.raises(
        ConfigError, match=r"did not accept this machine's identity.*failed to retrieve a token"
    ):
        _driver(azure, _NoToken()).status()
    nobody = AzureVm("cloud", SETTINGS, _sdk("http://127.0.0.1:9", _Token()))
    with pytest.raises(ComputeUnavailable, match="Azure does not answer"):
        nobody.status()


def test_the_client_of_a_data_set_file_speaks_to_azure_with_this_machines_identity() -> None:
    from azure.identity import DefaultAzureCredential

    driver = AzureVm("cloud", SETTINGS)
    config = driver._machines._config
    assert isinstance(config.credential, DefaultAzureCredential)
    assert config.subscription_id == SUBSCRIPTION
    assert config.base_url.rstrip("/") == "https://management.azure.com"


@pytest.mark.service
@pytest.mark.slow
def test_it_is_woken_waited_for_left_awake_and_stopped_by_the_watchdog(
    azure: Azure, prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.compute.azure_vm._client", lambda subscription_id: _sdk(azure.url, _Token()))
    monkeypatch.setattr("flows.compute.POLL_SECONDS", 0.1)
    now = WatchdogLimits(idle_minutes=0)
    watched = [Watched(pool="cloud", driver=SETTINGS)]
    with temporary_settings({PREFECT_API_URL: prefect_api}), prefect_client() as server:
        server.create_work_pool(WorkPoolCreate(name="cloud", type="process"))
        azure.failure = NO_CAPACITY
        with pytest.raises(ComputeUnavailable, match="no free machine"):
            compute_start("cloud", SETTINGS, ready_within_seconds=20)
        azure.failure = None
        assert watchdog(watched, now).stopped == []

        driver = _driver(azure)
        _until(driver, azure, "running")
        assert driver.status() == "starting", "it runs, and no worker is online yet"
        server.request(
            "POST",
            "/work_pools/{work_pool_name}/workers/heartbeat",
            path_params={"work_pool_name": "cloud"},
            json={"name": "gpu1", "heartbeat_interval_seconds": 30},
        )
        assert driver.status() == "ready"
        assert compute_start("cloud", SETTINGS, ready_within_seconds=20) == ["gpu1"]
        assert watchdog(watched, now).stopped == ["cloud"]
        assert azure.power == "deallocated"
        assert put_to_sleep("cloud", SETTINGS, drain_seconds=0).reason == "there is nothing to stop"

        azure.refusal = (403, {"code": "AuthorizationFailed", "message": "No."})
        other = Watched(pool="cloud", driver=SETTINGS.model_copy(update={"vm_name": "gpu2"}))
        with pytest.raises(ComputeUnavailable, match=r"cloud: .*'gpu1'.*cloud: .*'gpu2'"):
            watchdog([*watched, other], now)
