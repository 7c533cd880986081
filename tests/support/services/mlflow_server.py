"""A real MLflow server on loopback for the tests that need one."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest
from support.services.prefect_server import free_port

START_SECONDS = 120.0


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a server with a database and an artifact store of its own, stopped at the session's end."""
    folder = tmp_path_factory.mktemp("mlflow-server")
    uri = f"http://127.0.0.1:{free_port()}"
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        uri.rsplit(":", 1)[1],
    ]
    places = [
        f"--backend-store-uri=sqlite:///{folder}/mlflow.db",
        f"--artifacts-destination={folder}/artifacts",
    ]
    environment = {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    log = folder / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command, *places, "--workers", "1"],
            env=environment,
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_healthy(uri, server, log.read_text)
        yield uri
    finally:
        os.killpg(server.pid, 15)
        server.wait(timeout=30)


def _wait_until_healthy(uri: str, server: "subprocess.Popen[bytes]", log: object) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(f"{uri}/health", timeout=2).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"the MLflow server did not start: {log() if callable(log) else ''}")
