"""The container files: linted, rendered by Compose itself, and every path, command and setting in them exists."""

import json
import os
import re
import socket
import stat
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure.storage.blob import BlobServiceClient
from prefect.settings import Settings
from prefect.settings.legacy import _get_settings_fields
from prefect_redis.client import RedisMessagingSettings
from support.repository import REPOSITORY
from support.services.azurite import FOLDER as AZURITE
from support.services.azurite import NODE, PROGRAM
from support.services.prefect_server import free_port
from support.services.required_tools import output_of, required

CONTAINERS = REPOSITORY / "infra" / "containers"
DOCKERFILE = (CONTAINERS / "Dockerfile").read_text()
COMPOSE = (CONTAINERS / "compose.yaml").read_text()
OURS = {"worker-cpu", "worker-gpu", "endpoint"}
INSTALL = "run `make install`"


@cache
def rendered() -> dict[str, Any]:
    """All services with all profiles, as `docker compose config` renders them."""
    command = [required("docker-compose", INSTALL), "--file", str(CONTAINERS / "compose.yaml")]
    answer: dict[str, Any] = json.loads(
        output_of(*command, "--profile", "gpu", "--profile", "labelling", "config", "--format", "json")
    )
    return answer


def _commands() -> list[list[str]]:
    """Every command line of ours that the two files run."""
    in_compose = [
        row["command"] for row in rendered()["services"].values() if row.get("build") and row.get("command")
    ]
    in_dockerfile = [json.loads(row) for row in re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)]
    return [row for row in [*in_compose, *in_dockerfile] if row[0] in {"lightbox", "prefect"}]


def test_hadolint_finds_nothing() -> None:
    output_of(required("hadolint", INSTALL), "--failure-threshold", "style", str(CONTAINERS / "Dockerfile"))


def test_every_service_is_hardened_and_on_this_machine_only() -> None:
    services = rendered()["services"]
    assert {
        "postgres",
        "redis",
        "azurite",
        "prefect-server",
        "prefect-services",
        "label-studio",
    } | OURS <= set(services)
    for name, row in services.items():
        assert row["read_only"], name
        assert row["cap_drop"] == ["ALL"], name
        assert row["security_opt"] == ["no-new-privileges:true"], name
        assert row["restart"] in {"unless-stopped", "no"}, name
        assert {port["host_ip"] for port in row.get("ports", [])} <= {"127.0.0.1"}, name
        assert not row.get("privileged") and row.get("network_mode") is None, name
        for variable, value in (row.get("environment") or {}).items():
            assert not re.search(r"PASSWORD$|USER_TOKEN$|_KEY$|AUTH_STRING$|CONNECTION_STRING$", variable), (
                name
            )
            assert "AccountKey" not in str(value), name
    assert services["worker-gpu"]["profiles"] == ["gpu"]
    assert services["label-studio"]["profiles"] == ["labelling"]
    long_lived = {name for name, row in services.items() if row["restart"] != "no"}
    watched = {
        name for name, row in services.items() if "healthcheck" in row and "test" in row["healthcheck"]
    }
    assert long_lived - watched == OURS | {"prefect-services"}, "ours have theirs from their images"


def test_prefect_asks_for_a_password_and_answers_its_own_pages_only() -> None:
    servers = {name: row for name, row in rendered()["services"].items() if name.startswith("prefect-")}
    assert {"prefect-server", "prefect-services"} <= set(servers)
    for name, row in servers.items():
        assert "PREFECT_SERVER_API_AUTH_STRING" in {secret["target"] for secret in row["secrets"]}, name
        origins = row["environment"]["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"].split(",")
        assert row["environment"]["PREFECT_UI_URL"] in origins, name
        assert all(origin.endswith(":4200") for origin in origins), name


def test_every_target_and_path_exists() -> None:
    targets = set(re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE))
    for row in rendered()["services"].values():
        if build := row.get("build"):
            assert build["target"] in targets & OURS
            assert Path(build["context"]) == REPOSITORY
            assert (REPOSITORY / build["dockerfile"]).is_file()
        for volume in row.get("volumes", []):
            assert volume["type"] == "volume" or Path(volume["source"]).exists()
    copied = [
        path
        for row in re.findall(r"^COPY (?!--from)(?:--\S+ )*(.+)$", DOCKERFILE, re.MULTILINE)
        for path in row.split()[:-1]
    ]
    admitted = {
        row[1:] for row in (CONTAINERS / "Dockerfile.dockerignore").read_text().split() if row[0] == "!"
    }
    assert len(copied) > 5
    assert set(copied) == admitted
    assert all((REPOSITORY / path).exists() for path in copied)
    assert os.access(CONTAINERS / "with-secrets", os.X_OK)


def test_images_run_as_nobody_in_particular_and_say_how_they_are() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    bases = {row.split()[2]: (row.split()[0], row) for row in stages if " AS " in row.splitlines()[0]}
    for name in OURS:
        base, text = bases[name]
        assert base == "runtime"
        assert "HEALTHCHECK" in text
        assert "USER" not in text
    assert re.search(r"^USER 10001:10001$", bases["runtime"][1], re.MULTILINE)


def test_every_image_can_be_pinned_and_versions_agree_with_the_other_files() -> None:
    listed = dict(
        row.split("=", 1)
        for row in (CONTAINERS / "images.env.example").read_text().splitlines()
        if "=" in row and not row.startswith("#")
    )
    named = dict(re.findall(r"\$\{(\w+_IMAGE):-([^}]+)\}", COMPOSE))
    assert listed == {name: image for name, image in named.items() if not image.startswith("lightbox/")}
    arguments = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", DOCKERFILE, re.MULTILINE))
    assert arguments.items() <= listed.items()
    assert all(row["image"] for row in rendered()["services"].values())
    label_studio = (REPOSITORY / "infra/label_studio/requirements.in").read_text()
    assert listed["LABEL_STUDIO_IMAGE"].partition(":")[2] in label_studio
    azurite = json.loads((AZURITE / "package.json").read_text())
    assert listed["AZURITE_IMAGE"].endswith(next(iter(azurite["dependencies"].values())))


def test_every_setting_exists() -> None:
    text = DOCKERFILE + COMPOSE + (CONTAINERS / "make-secrets").read_text()
    prefect = set(_get_settings_fields(Settings))
    redis = {f"PREFECT_REDIS_MESSAGING_{name.upper()}" for name in RedisMessagingSettings.model_fields}
    source = "".join(
        path.read_text()
        for folder in ("tasks", "flows", "deployments")
        for path in REPOSITORY.glob(f"{folder}/**/*.py")
    )
    interpolated = set(re.findall(r"\$\{(\w+)", text))
    names = set(re.findall(r"\b(?:PREFECT|LIGHTBOX)_[A-Z0-9_]+\b", text)) - interpolated
    assert "PREFECT_REDIS_MESSAGING_HOST" in names and "LIGHTBOX_PRIMARY_KEY" in names
    for name in names:
        assert name in prefect | redis or name in source, name


@pytest.mark.slow
def test_every_command_and_option_exists() -> None:
    commands = _commands()
    assert len(commands) >= 8
    for command in {tuple(word for word in row) for row in commands}:
        verbs = []
        for word in command[1:]:
            if word.startswith("-"):
                break
            verbs.append(word)
        said = output_of(required(command[0], INSTALL), *verbs, "--help", environment={"COLUMNS": "200"})
        for option in (word for word in command[1:] if word.startswith("--")):
            assert option in said or option == "--help", f"{option} of {command}"


def test_secrets_are_random_closed_and_complete(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    output_of(str(CONTAINERS / "make-secrets"), str(folder))
    first = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(first) == set(rendered()["secrets"])
    assert {Path(row["file"]).name for row in rendered()["secrets"].values()} == set(first)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert re.fullmatch(r"[0-9a-f]{40}", first["label_studio_token"])
    assert min(len(value) for value in first.values()) >= 32
    output_of(str(CONTAINERS / "make-secrets"), str(folder))
    assert {path.name: path.read_text() for path in folder.iterdir()} == first, "what is there stays"
    output_of(str(CONTAINERS / "make-secrets"), str(tmp_path / "others"))
    assert not {path.read_text() for path in (tmp_path / "others").iterdir()} & set(first.values())


def test_secrets_become_variables_of_the_command_alone(tmp_path: Path) -> None:
    (tmp_path / "LIGHTBOX_PRIMARY_KEY").write_text("two words; $HOME `id`\n")
    (tmp_path / "postgres_password").write_text("not a variable")
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    said = output_of(
        str(CONTAINERS / "with-secrets"),
        sys.executable,
        "-c",
        code,
        environment={"SECRETS_FOLDER": str(tmp_path)},
    )
    seen = json.loads(said)
    assert seen["LIGHTBOX_PRIMARY_KEY"] == "two words; $HOME `id`"
    assert "not a variable" not in seen.values()
    done = subprocess.run([str(CONTAINERS / "with-secrets"), "sh", "-c", "exit 7"], check=False)
    assert done.returncode == 7


@pytest.mark.service
def test_the_store_of_compose_starts_with_the_secrets_and_gets_its_container(tmp_path: Path) -> None:
    if not PROGRAM.is_file():
        required(str(PROGRAM), "run `make test-services`")
    folder = tmp_path / "secrets"
    output_of(str(CONTAINERS / "make-secrets"), str(folder))
    command = yaml.safe_load(COMPOSE)["services"]["azurite"]["command"][0]
    port = free_port()
    command = (
        command.replace("$$", "$")
        .replace("/run/secrets", str(folder))
        .replace("/data", str(tmp_path / "data"))
    )
    command = command.replace("azurite-blob", f"{NODE} {PROGRAM} --blobPort {port}").replace(
        "0.0.0.0", "127.0.0.1"
    )
    connection = (folder / "storage_connection").read_text().replace("azurite:10000", f"127.0.0.1:{port}")
    store = subprocess.Popen(["sh", "-c", command], cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        _until_it_listens(port)
        for _ in range(2):
            output_of(
                sys.executable,
                str(CONTAINERS / "make_container.py"),
                "lightbox",
                environment={"AZURE_STORAGE_CONNECTION_STRING": connection},
            )
        with BlobServiceClient.from_connection_string(connection) as service:
            assert [row.name for row in service.list_containers()] == ["lightbox"]
    finally:
        store.terminate()
        store.wait(timeout=20)


def _until_it_listens(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
