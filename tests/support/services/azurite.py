"""A real Azure Blob emulator for the tests: Azurite, started on a free port in a folder of its own."""

import os
import re
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient, ContainerClient
from support.repository import REPOSITORY
from support.services.required_tools import absent

FOLDER = REPOSITORY / "infra" / "azurite"
PROGRAM = FOLDER / "node_modules" / ".bin" / "azurite-blob"
NODE = REPOSITORY / "infra" / "node"
ACCOUNT = "devstoreaccount1"
# The account key that every Azurite starts with, published in its documentation:
# https://learn.microsoft.com/azure/storage/common/storage-connect-azurite
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
START_SECONDS = 60
_REQUEST = re.compile(r'"([A-Z]+) (/\S*) HTTP')


@dataclass(frozen=True)
class Azurite:
    """A running Azurite: how to reach it, and what was asked of it."""

    endpoint: str
    account: str
    key: str
    log: Path

    @property
    def connection_string(self) -> str:
        """For AZURE_STORAGE_CONNECTION_STRING."""
        return (
            f"DefaultEndpointsProtocol=http;AccountName={self.account};AccountKey={self.key};"
            f"BlobEndpoint={self.endpoint};"
        )

    def new_container(self) -> ContainerClient:
        """A fresh container with a name of its own, through Azure's own client."""
        client = BlobServiceClient.from_connection_string(self.connection_string)
        return client.create_container(f"lightbox-{uuid.uuid4().hex[:12]}")

    def requests(self, container: str) -> list[tuple[str, str]]:
        """(method, path with query) of every request for a container so far, from the server's access log."""
        lines = self._settled_log().splitlines()
        asked = [match.groups() for match in map(_REQUEST.search, lines) if match]
        return [(verb, path) for verb, path in asked if path.split("?")[0].split("/")[2:3] == [container]]

    def _settled_log(self) -> str:
        """The log once it has not grown for a moment: the server writes it after it answers."""
        size = -1
        while size != self.log.stat().st_size:
            size = self.log.stat().st_size
            time.sleep(0.2)
        return self.log.read_text()


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """Azurite's blob server on a free loopback port."""
    if not PROGRAM.exists():
        absent("Azurite is not installed: infra/azurite/install")
    with running_azurite(tmp_path_factory.mktemp("azurite")) as server:
        yield server


@contextmanager
def running_azurite(folder: Path) -> Iterator[Azurite]:
    """The server, with its blobs and its log in a folder, until the block ends."""
    port = _free_port()
    log = folder / "access.log"
    command = [
        str(NODE),
        str(PROGRAM),
        "--blobHost",
        "127.0.0.1",
        "--blobPort",
        str(port),
        "--location",
        str(folder),
    ]
    command += ["--skipApiVersionCheck", "--disableTelemetry"]
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder, start_new_session=True)
    try:
        _wait_until_it_answers(server, port, log)
        yield Azurite(f"http://127.0.0.1:{port}/{ACCOUNT}", ACCOUNT, KEY, log)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_answers(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail(f"Azurite did not start within {START_SECONDS} s:\n{log.read_text()}")
