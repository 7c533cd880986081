"""The Prefect server as compose.yaml sets it up, run for real: PostgreSQL, Redis, API and services apart."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import yaml
from support.repository import REPOSITORY
from support.services.postgres import postgres
from support.services.prefect_server import free_port
from support.services.required_tools import output_of, required

PASSWORD = "admin:a-password-for-tests"
COMPOSE = yaml.safe_load((REPOSITORY / "infra/containers/compose.yaml").read_text())


@contextmanager
def _running(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=30)


def _settings(database_port: int, redis_port: int, port: int, home: Path) -> dict[str, str]:
    """The environment of compose.yaml, with the addresses of this test."""
    settings = {name: str(value) for name, value in COMPOSE["x-server-settings"].items()}
    settings |= {
        "PREFECT_SERVER_DATABASE_HOST": "127.0.0.1",
        "PREFECT_SERVER_DATABASE_PORT": str(database_port),
        "PREFECT_SERVER_DATABASE_NAME": "postgres",
        "PREFECT_REDIS_MESSAGING_HOST": "127.0.0.1",
        "PREFECT_REDIS_MESSAGING_PORT": str(redis_port),
        "PREFECT_SERVER_DOCKET_URL": f"redis://127.0.0.1:{redis_port}/1",
        "PREFECT_SERVER_UI_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_UI_URL": f"http://127.0.0.1:{port}",
    }
    secrets = {row["target"]: PASSWORD for row in COMPOSE["x-server-secrets"]}
    return {
        **settings,
        **secrets,
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
    }


def _prefect(service: str, port: int) -> list[str]:
    command: list[str] = COMPOSE["services"][service]["command"]
    replaced = [word.replace("0.0.0.0", "127.0.0.1").replace("4200", str(port)) for word in command]
    return [sys.executable, "-m", *replaced]


@pytest.mark.service
@pytest.mark.slow
def test_events_go_from_the_api_through_redis_and_the_services_into_postgresql(tmp_path: Path) -> None:
    redis = required("redis-server", "apt-get install -y redis-server")
    database_port, redis_port, port = free_port(), free_port(), free_port()
    with ExitStack() as stack:
        if stack.enter_context(postgres(database_port)) is None:
            pytest.skip("PostgreSQL is missing: apt-get install postgresql")
        environment = _settings(database_port, redis_port, port, tmp_path)
        stack.enter_context(
            _running(
                [
                    redis,
                    "--port",
                    str(redis_port),
                    "--bind",
                    "127.0.0.1",
                    "--save",
                    "",
                    "--dir",
                    str(tmp_path),
                ],
                environment,
                tmp_path / "redis.log",
            )
        )
        output_of(*_prefect("prefect-database", port), environment=environment)
        server = stack.enter_context(
            _running(_prefect("prefect-server", port), environment, tmp_path / "server.log")
        )
        services = stack.enter_context(
            _running(_prefect("prefect-services", port), environment, tmp_path / "services.log")
        )
        user, _, password = PASSWORD.partition(":")
        api = stack.enter_context(
            httpx.Client(base_url=f"http://127.0.0.1:{port}/api", auth=(user, password), timeout=10)
        )
        _until_healthy(api, server, tmp_path / "server.log")
        assert httpx.post(f"{api.base_url}flow_runs/filter", json={}).status_code == 401
        event = {
            "id": "6f4f7a5e-52a5-4f6c-8f0e-6d4b4d3b0001",
            "occurred": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "event": "lightbox.test.sent",
            "resource": {"prefect.resource.id": "lightbox.test.1"},
        }
        assert api.post("/events", json=[event]).status_code == 204
        deadline = time.monotonic() + 60
        wanted = {"filter": {"event": {"name": ["lightbox.test.sent"]}}}
        while not (found := api.post("/events/filter", json=wanted).json()["events"]):
            assert services.poll() is None and time.monotonic() < deadline, (
                tmp_path / "services.log"
            ).read_text()
            time.sleep(0.2)
        assert [row["id"] for row in found] == [event["id"]]


def _until_healthy(api: httpx.Client, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 90
    while True:
        assert server.poll() is None and time.monotonic() < deadline, log.read_text()
        try:
            if api.get("/health").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.3)
