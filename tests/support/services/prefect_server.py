"""A real Prefect server on loopback for the tests that need one."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

START_SECONDS = 90.0


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PrefectServer:
    """A server with a database of its own, which can be stopped and started again on the same address.

    The database is SQLite in `home`, unless the connection URL of another one is given.
    """

    def __init__(self, home: Path, database: str | None = None) -> None:
        self._home = home
        self._database = database
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}/api"

    def start(self) -> None:
        """Start it, and return when it answers."""
        environment = {
            **os.environ,
            "PREFECT_HOME": str(self._home),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }
        if self._database is not None:
            environment["PREFECT_API_DATABASE_CONNECTION_URL"] = self._database
        environment.pop("PREFECT_API_URL", None)
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
        log = self._home / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, "--port", str(self._port)],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        _wait_until_healthy(self.url, self._process, log)

    def stop(self) -> None:
        """Stop it; its database stays."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)
            self._process = None


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API URL of a server with a database of its own, stopped at the session's end."""
    server = PrefectServer(tmp_path_factory.mktemp("prefect-server"))
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


def _wait_until_healthy(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/health", timeout=2).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.3)
    server.kill()
    pytest.fail(f"the Prefect server did not answer within {START_SECONDS:.0f} s:\n{log.read_text()[-2000:]}")
