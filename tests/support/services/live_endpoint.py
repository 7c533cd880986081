"""Real endpoints for tests: on a socket of this machine, in a thread or in a process, and a client for them."""

import asyncio
import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from PIL import Image
from support.repository import REPOSITORY

from deployments.endpoint.app import Endpoint, build_app
from deployments.endpoint.keys import KeyRing
from deployments.endpoint.settings import ServeSettings

PRIMARY = "primary-key-0123456789"
SECONDARY = "secondary-key-0123456789"
KEYS = {"LIGHTBOX_PRIMARY_KEY": PRIMARY, "LIGHTBOX_SECONDARY_KEY": SECONDARY}
READY = re.compile(r"ready: http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The facts of a refusal."""
        facts: dict[str, Any] = self.json["error"]
        return facts


class Client:
    """Speaks to one endpoint, a new connection for each request."""

    def __init__(self, port: int, key: str | None = PRIMARY) -> None:
        self.port, self.key = port, key

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request and its answer."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=240
        )  # only a hang takes so long
        authorization = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        try:
            connection.request(method, path, body, {**authorization, **(headers or {})})
            answer = connection.getresponse()
            return Answer(
                answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
            )
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        """GET."""
        return self.ask("GET", path, headers=headers)

    def score(self, content: Any, headers: Mapping[str, str] | None = None) -> Answer:
        """POST /score with JSON."""
        body = json.dumps(content).encode()
        return self.ask("POST", "/score", body, {"Content-Type": "application/json", **(headers or {})})

    def predict(self, image: bytes, query: str = "", headers: Mapping[str, str] | None = None) -> Answer:
        """POST /predict with a raw image."""
        kind = {"Content-Type": "application/octet-stream"}
        return self.ask("POST", f"/predict{query}", image, {**kind, **(headers or {})})


@dataclass(frozen=True)
class Live:
    """An endpoint at work in a thread of this process."""

    endpoint: Endpoint
    client: Client


@contextmanager
def live(settings: ServeSettings, keys: Mapping[str, str] = KEYS) -> Iterator[Live]:
    """Serve in a thread while inside."""
    endpoint = Endpoint(settings, KeyRing(settings.key_file, keys))
    endpoint.start()
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(build_app(endpoint), log_config=None, lifespan="on"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield Live(endpoint, Client(listener.getsockname()[1], next(iter(keys.values()), None)))
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        assert not thread.is_alive()


class Process:
    """`python -m deployments.endpoint` as a process of its own."""

    def __init__(self, *options: str, cache: Path, keys: Mapping[str, str] = KEYS) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LIGHTBOX_")}
        environment |= {"LIGHTBOX_CACHE": str(cache), "PYTHONPATH": str(REPOSITORY), **keys}
        self.started = time.monotonic()
        self._lines: list[str] = []
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "deployments.endpoint", "--port", "0", *options],
            cwd=cache.parent,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stderr is not None
        self._lines.extend(iter(self.popen.stderr.readline, ""))

    @property
    def log(self) -> str:
        """What it wrote to standard error so far."""
        return "".join(self._lines)

    def wait_ready(self, seconds: float = 30) -> Client:
        """A client, once it answers."""
        deadline = self.started + seconds
        while time.monotonic() < deadline:
            found = READY.search(self.log)
            if found:
                return Client(int(found.group(1)))
            assert self.popen.poll() is None, self.log
            time.sleep(0.01)
        raise AssertionError(f"not ready in {seconds} s: {self.log}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        code = self.popen.wait(timeout=240)  # only a hang takes so long
        self._reader.join(timeout=10)
        return code

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait(timeout=10)
        self._reader.join(timeout=10)
        if self.popen.stderr is not None:
            self.popen.stderr.close()


def picture(seed: int = 0, kind: str = "PNG", size: tuple[int, int] = (80, 70)) -> bytes:
    """An image file with a bright blob on black."""
    rng = np.random.default_rng(seed)
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[height // 5 : -height // 5, width // 5 : -width // 5] = rng.integers(60, 255, 3, np.uint8)
    pixels[height // 3 : height // 2, width // 3 : width // 2] = rng.integers(60, 255, 3, np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()
