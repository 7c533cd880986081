"""The Azure templates: read against Azure's own models, consistent, and their scripts run against recorded answers."""

import base64
import importlib.util
import json
import os
import re
import stat
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from support.repository import REPOSITORY
from support.services.recorded_api import Answer, Asked, recorded_api
from support.services.required_tools import absent, output_of, required

from tasks.compute.azure_vm import ROLE_ACTIONS
from tasks.compute.settings import AzureVmCompute

AZURE = REPOSITORY / "infra" / "azure"
MAIN = (AZURE / "main.bicep").read_text()
BICEP = sorted(AZURE.glob("*.bicep"))
CUSTOM_DATA_LIMIT = 65_535
"""Bytes of base64: https://learn.microsoft.com/azure/virtual-machines/custom-data"""


def checks() -> Path:
    """The folder of programs of the environment that infra/checks/install makes."""
    folder = REPOSITORY / "infra" / "checks"
    version = (folder / "requirements.in").read_text().split("checkov==")[1].split()[0]
    home = Path(
        os.environ.get("LIGHTBOX_CHECKS") or Path.home() / ".cache" / "lightbox" / f"checkov-{version}"
    )
    stamp = home / ".installed"
    if not stamp.is_file() or stamp.read_text() != (folder / "requirements.txt").read_text():
        absent("checkov is not installed: run `infra/checks/install`")
    return home / "bin"


@pytest.mark.slow
def test_checkov_finds_nothing_in_all_templates() -> None:
    said = output_of(
        str(checks() / "checkov"),
        "--config-file",
        "infra/checks/checkov.yaml",
        "--directory",
        "infra",
        "--output",
        "json",
    )
    reports = {row["check_type"]: row["summary"] for row in json.loads(said)}
    assert {"bicep", "dockerfile", "kubernetes"} <= set(reports)
    for kind, summary in reports.items():
        assert summary["failed"] == 0, kind
        assert summary["parsing_errors"] == 0, kind
    assert min(reports[kind]["passed"] for kind in ("bicep", "dockerfile", "kubernetes")) >= 30
    text = "".join(path.read_text() for path in [*BICEP, REPOSITORY / "infra/containers/Dockerfile"])
    reasons = re.findall(r"checkov:skip=\w+:\s*(.*)", text)
    assert len(reasons) >= 7
    assert all(len(reason) > 20 for reason in reasons)


@pytest.mark.slow
def test_every_property_and_value_is_one_of_azures(tmp_path: Path) -> None:
    program = [str(checks() / "python"), "infra/checks/bicep_properties.py"]
    output_of(*program, *map(str, BICEP))
    for wrong, right in {"enableRbacAuthorisation": "enableRbacAuthorization", "'Denied'": "'Deny'"}.items():
        copy = tmp_path / "vault.bicep"
        copy.write_text((AZURE / "vault.bicep").read_text().replace(right, wrong))
        with pytest.raises(AssertionError, match=wrong.strip("'")):
            output_of(*program, str(copy))


def _declared(text: str, kind: str) -> set[str]:
    return set(re.findall(rf"^{kind} (\w+) ", text, re.MULTILINE))


def test_modules_are_given_what_they_declare_and_asked_for_what_they_tell() -> None:
    modules = re.findall(r"^module (\w+) '(\S+)' = \{\n(.*?)^\}", MAIN, re.MULTILINE | re.DOTALL)
    assert {file for _, file, _ in modules} | {"main.bicep"} == {path.name for path in BICEP}
    outputs = {}
    for name, file, body in modules:
        text = (AZURE / file).read_text()
        assert set(re.findall(r"^    (\w+): ", body, re.MULTILINE)) == _declared(text, "param"), file
        outputs[name] = _declared(text, "output")
    asked = re.findall(r"\b(\w+)\.outputs\.(\w+)", MAIN)
    assert len(asked) > 20
    for name, output in asked:
        assert output in outputs[name], f"{name}.{output}"
    for path in BICEP:
        text = path.read_text()
        for name in _declared(text, "param") | _declared(text, "var"):
            assert len(re.findall(rf"\b{name}\b", text)) > 1, f"{path.name}: {name} is not used"
        assert "@secure" not in text, "secrets never pass a template"


def test_every_parameter_is_described_and_every_cost_is_said_without_a_price() -> None:
    blocks = re.findall(r"((?:^@.*\n)*)^param (\w+) ", MAIN, re.MULTILINE)
    assert len(blocks) > 12
    assert all("@description(" in decorators for decorators, _ in blocks)
    for name in ("network", "store", "vault", "registry", "logs", "gpu", "server"):
        assert "// Cost: " in (AZURE / f"{name}.bicep").read_text(), name
    assert not re.search(r"[€$]\s?\d", "".join(path.read_text() for path in BICEP))


def test_the_waker_may_do_what_the_driver_does_and_nothing_else() -> None:
    actions = re.search(r"actions: \[(.*?)\]", (AZURE / "gpu.bicep").read_text(), re.DOTALL)
    assert actions is not None
    assert tuple(re.findall(r"'(\S+)'", actions[1])) == ROLE_ACTIONS
    fields = re.findall(
        r"^  (\w+): ", MAIN.split("output computeDriver object = {")[1].split("}")[0], re.MULTILINE
    )
    assert set(fields) <= set(AzureVmCompute.model_fields)
    assert "stopped" not in fields and "kind" in fields


@cache
def _settings(name: str) -> dict[str, str]:
    text = (AZURE / f"{name}.bicep").read_text().split("var settings = [")[1].split("\n]")[0]
    return dict(re.findall(r"'(\w+)=(.*)'", text))


def _cloud_init(name: str) -> dict[str, Any]:
    """As the template fills it."""
    texts = {
        "ENVIRONMENT": "\n".join(f"{key}={value}" for key, value in _settings(name).items()),
        "MACHINE": (AZURE / "machine.py").read_text(),
        "COMPOSE": (REPOSITORY / "infra/containers/compose.yaml").read_text(),
        "COMPOSE_AZURE": (AZURE / "compose.azure.yaml").read_text(),
    }
    text = (AZURE / f"{name}.cloud-init.yaml").read_text()
    assert text.startswith("#cloud-config\n")
    filled = set(re.findall(r"'@(\w+)@'", (AZURE / f"{name}.bicep").read_text()))
    assert set(re.findall(r"@([A-Z_]+)@", text)) == filled
    for key in filled:
        text = text.replace(f"@{key}@", base64.b64encode(texts[key].encode()).decode())
    assert len(base64.b64encode(text.encode())) < CUSTOM_DATA_LIMIT
    found: dict[str, Any] = yaml.safe_load(text)
    return found


@pytest.mark.parametrize("name", ["gpu", "server"])
def test_a_machine_finds_what_its_unit_starts(name: str) -> None:
    init = _cloud_init(name)
    files = {row["path"]: row for row in init["write_files"]}
    unit_path = next(path for path in files if path.endswith(".service"))
    unit = files[unit_path]["content"]
    assert init["runcmd"][-1][-1] == Path(unit_path).name
    assert files["/opt/lightbox/machine.py"]["permissions"] == "0755"
    assert files["/etc/lightbox/environment"]["permissions"] == "0600"
    for path in re.findall(r"(?:^ExecStartPre=|EnvironmentFile=)(/(?:opt|etc)/\S+)", unit, re.MULTILINE):
        assert path in files
    for path in re.findall(r"--file (\S+)", unit):
        assert f"/opt/lightbox/{path}" in files
    fetched = {secret.replace("-", "_") for secret in _settings(name)["LIGHTBOX_SECRETS"].split()}
    for secret in re.findall(r"/etc/lightbox/secrets/(\w+):", unit):
        assert secret in fetched
    machine = (AZURE / "machine.py").read_text()
    compose = (AZURE / "compose.azure.yaml").read_text() + (
        REPOSITORY / "infra/containers/compose.yaml"
    ).read_text()
    for variable in _settings(name):
        assert variable in machine or variable in (unit if name == "gpu" else compose), variable
    for variable in re.findall(r"--env (\w+)|\$\{(\w+)\}", unit):
        assert (variable[0] or variable[1]) in _settings(name)
    assert name != "gpu" or ("--gpus all" in unit and ":4200/api" in _settings(name)["PREFECT_API_URL"])


def test_compose_in_azure_has_blob_storage_the_private_address_and_fetched_secrets_alone() -> None:
    said = output_of(
        required("docker-compose", "run `make install`"),
        *("--file", "infra/containers/compose.yaml", "--file", "infra/azure/compose.azure.yaml"),
        *("config", "--format", "json"),
        environment={**_settings("server"), "PRIVATE_ADDRESS": "10.71.1.10"},
    )
    rendered = json.loads(said)
    services = rendered["services"]
    assert not {"azurite", "storage", "worker-gpu"} & set(services)
    for name, row in services.items():
        assert "build" not in row, name
        assert {port["host_ip"] for port in row.get("ports", [])} <= {"10.71.1.10"}, name
        assert row["read_only"] and row["cap_drop"] == ["ALL"], name
        targets = {secret["target"] for secret in row.get("secrets", [])}
        assert "AZURE_STORAGE_CONNECTION_STRING" not in targets, name
    for name in ("endpoint", "worker-cpu", "deploy"):
        assert {"AZURE_CLIENT_ID", "AZURE_STORAGE_ACCOUNT_NAME"} <= set(services[name]["environment"])
    used = {secret["source"] for row in services.values() for secret in row.get("secrets", [])}
    fetched = {secret.replace("-", "_") for secret in _settings("server")["LIGHTBOX_SECRETS"].split()}
    assert used == fetched
    assert {Path(rendered["secrets"][name]["file"]).parent for name in used} == {
        Path("/etc/lightbox/secrets")
    }
    assert services["worker-cpu"]["image"].replace("$$", "$") == _settings("server")["WORKER_CPU_IMAGE"]


@pytest.fixture
def machine() -> ModuleType:
    """infra/azure/machine.py, which is in no package."""
    spec = importlib.util.spec_from_file_location("machine", AZURE / "machine.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_machine_fetches_its_secrets_and_logs_in_by_its_identity(
    machine: ModuleType, tmp_path: Path
) -> None:
    """Shapes: learn.microsoft.com, how-to-use-vm-token; rest/api/keyvault/secrets/get-secret; ACR's oauth2/exchange."""
    refused = ["once"]

    def answer(asked: Asked) -> Answer:
        if asked.path == "/metadata/identity/oauth2/token":
            assert asked.headers["Metadata"] == "true"
            assert asked.query["client_id"] == ["the-client"]
            return Answer(body={"access_token": f"for {asked.query['resource'][0]}", "token_type": "Bearer"})
        if asked.path.startswith("/secrets/"):
            if refused:
                refused.clear()
                return Answer(403, {"error": {"code": "Forbidden"}})
            assert asked.headers["Authorization"] == "Bearer for https://vault.azure.net"
            assert asked.query["api-version"] == ["7.4"]
            return Answer(body={"value": f"value of {asked.path[9:]}", "id": "https://vault/secrets/x/1"})
        assert asked.path == "/oauth2/exchange"
        return Answer(body={"refresh_token": "a refresh token"})

    with recorded_api(answer) as url:
        found = machine.patiently(
            lambda: machine.secrets(f"{url}/", ["prefect-auth", "endpoint-key"], "the-client", url), 5, 0.01
        )
        host = url.removeprefix("http://")
        assert machine.registry_password(host, "the-client", url, "http") == "a refresh token"
    assert not refused, "it waited for the role to count"
    machine.write(found, tmp_path / "secrets")
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == {
        "prefect_auth": "value of prefect-auth",
        "endpoint_key": "value of endpoint-key",
    }
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    with pytest.raises(OSError, match="refused"):
        machine.patiently(lambda: machine.token("r", "c", "http://127.0.0.1:9"), 0.0, 0.0)
