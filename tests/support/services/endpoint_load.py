"""Load from several clients at once, each over a connection that it keeps while the endpoint lets it."""

import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from support.services.live_endpoint import PRIMARY


@dataclass
class Load:
    """Clients that ask without a pause until told to stop.

    A connection that could not be made is no failure: nothing was accepted.
    """

    port: int
    image: bytes
    clients: int = 4
    versions: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    refused_connections: int = 0

    def __enter__(self) -> "Load":
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=60)

    @property
    def answered(self) -> int:
        """How many requests got their answer."""
        return sum(self.versions.values())

    def wait_for(self, version: str, seconds: float = 20) -> None:
        """Until a version answers."""
        deadline = time.monotonic() + seconds
        while not self.versions[version]:
            assert time.monotonic() < deadline, f"{version} never answered: {self.versions}"
            time.sleep(0.02)

    def _ask(self) -> None:
        connection: http.client.HTTPConnection | None = None
        headers = {"Authorization": f"Bearer {PRIMARY}", "Content-Type": "application/octet-stream"}
        while not self._stop.is_set():
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                try:
                    connection.connect()
                except OSError:
                    self.refused_connections += 1
                    connection = None
                    time.sleep(0.02)
                    continue
            try:
                connection.request("POST", "/predict", self.image, headers)
                answer = connection.getresponse()
                content = answer.read()
                if answer.status != 200:
                    self.failures.append(f"{answer.status} {content[:200]!r}")
                else:
                    self.versions[json.loads(content)["predictions"][0]["model_version"]] += 1
                if answer.will_close:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection = None
        if connection is not None:
            connection.close()
