"""The log of predictions: lines on this machine's disk at once, hourly Parquet files in the workspace later.

Nothing here waits for a disk or a network in a request's time. A thread appends the lines; when an hour is
over a separate process (see `log_shipping`) turns its lines into Parquet, so that pyarrow is never loaded in
the serving process. While the workspace is away the lines stay, up to a limit; above it rows are dropped and
counted. What a killed process leaves behind is shipped by the next one: a file that is being written is locked, and
the system gives the lock back however its process ends, also where containers number their processes alike.
"""

import base64
import fcntl
import json
import logging
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Full, Queue
from typing import IO, Final
from uuid import uuid4

from deployments.endpoint.champion import stand_back
from deployments.endpoint.measures import Measures
from deployments.endpoint.settings import LogSettings
from tasks.stores.permissions import make_private

SHIP_RETRY_SECONDS: Final = 60.0
SHIP_TIMEOUT_SECONDS: Final = 600.0
CLOSED: Final = ".jsonl"
OPEN: Final = ".open"

_MAX_WAITING: Final = 4096
_MAX_WAITING_BYTES: Final = 64 << 20
_FLUSH_SECONDS: Final = 1.0
logger = logging.getLogger("lightbox.endpoint")


@dataclass(frozen=True, slots=True)
class LogRow:
    """One judged or rejected image. `rejected` is the reason, else None and there are probabilities."""

    time: float
    request_id: str
    sha256: str | None
    deployment: str
    version: str
    mirrored: bool
    label: str | None
    probabilities: Mapping[str, float]
    rejected: str | None
    seconds: float
    image: bytes
    client: str | None = None
    correlation_id: str | None = None

    def line(self, *, with_image: bool) -> bytes:
        """The row as one line of JSON."""
        facts = {name: getattr(self, name) for name in self.__slots__ if name != "image"}
        facts["probabilities"] = dict(self.probabilities)
        facts["image"] = base64.b64encode(self.image).decode() if with_image else None
        return json.dumps(facts, separators=(",", ":")).encode() + b"\n"


class PredictionLog:
    """Takes rows without waiting; `folder` is this model's place below the cache, shared by the workers."""

    def __init__(
        self, settings: LogSettings, workspace: str, name: str, folder: Path, measures: Measures
    ) -> None:
        self._settings, self._workspace, self._name = settings, workspace, name
        self._folder, self._measures = folder, measures
        self._queue: Queue[LogRow] = Queue(_MAX_WAITING)
        self._waiting_bytes = 0
        self._file: IO[bytes] | None = None
        self._hour = ""
        self._used = 0
        self._shipped = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="prediction-log", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def add(self, row: LogRow) -> None:
        """Keep a row, by chance as the sampling says; dropped and counted when the disk does not keep up."""
        if random.random() >= self._settings.sampling:  # noqa: S311 not a secret
            return
        size = len(row.image) if self._settings.images else 0
        if self._waiting_bytes + size > _MAX_WAITING_BYTES:
            self._measures.log_rows.labels("dropped").inc()
            return
        try:
            self._queue.put_nowait(row)
            self._waiting_bytes += size
        except Full:
            self._measures.log_rows.labels("dropped").inc()

    def close(self) -> None:
        """Write what waits, close the hour and ship it; at most half a minute for the latter."""
        self._stop.set()
        self._thread.join(timeout=5)
        self._close_file()
        self._ship(timeout_seconds=30)

    def _work(self) -> None:
        stand_back()
        while not self._stop.is_set():
            self._stop.wait(_FLUSH_SECONDS)
            try:
                self._write_waiting()
                self._ship_when_due()
            except OSError as error:
                logger.warning("the prediction log cannot be written: %s", error.strerror or error)
        try:
            self._write_waiting()
        except OSError as error:
            logger.warning("the prediction log cannot be written: %s", error.strerror or error)

    def _write_waiting(self) -> None:
        hour = time.strftime("%Y-%m-%dT%H", time.gmtime())
        if hour != self._hour:
            self._close_file()
            self._hour = hour
        self._used = sum(path.stat().st_size for path in self._folder.glob("*") if path.is_file())
        while True:
            try:
                row = self._queue.get_nowait()
            except Empty:
                break
            self._waiting_bytes -= len(row.image) if self._settings.images else 0
            self._append(row.line(with_image=self._settings.images))
        if self._file is not None:
            self._file.flush()

    def _append(self, line: bytes) -> None:
        if self._used + len(line) > self._settings.max_disk_mib << 20:
            self._measures.log_rows.labels("dropped").inc()
            return
        if self._file is None:
            make_private(self._folder)
            self._file, self._path = self._opened()
        self._file.write(line)
        self._used += len(line)
        self._measures.log_rows.labels("kept").inc()

    def _opened(self) -> tuple[IO[bytes], Path]:
        """A new file, locked by this process."""
        while True:
            path = self._folder / f"{self._hour}-{uuid4().hex}{OPEN}"
            file = os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")
            if _is_locked(file) and path.exists():
                return file, path
            file.close()  # it was adopted before it was locked

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.flush()
            self._path.rename(self._path.with_suffix(CLOSED))
            self._file.close()
            self._file = None

    def _ship_when_due(self) -> None:
        if time.monotonic() - self._shipped < SHIP_RETRY_SECONDS:
            return
        self._shipped = time.monotonic()
        self._adopt()
        self._ship(SHIP_TIMEOUT_SECONDS)

    def _adopt(self) -> None:
        """Close the files of processes that were killed: nobody holds their locks."""
        for path in self._folder.glob(f"*{OPEN}"):
            with suppress(FileNotFoundError), path.open("rb") as file:
                if _is_locked(file):
                    path.rename(path.with_suffix(CLOSED))

    def _ship(self, timeout_seconds: float) -> None:
        if not any(self._folder.glob(f"*{CLOSED}")):
            return
        command = (sys.executable, "-m", "deployments.endpoint.log_shipping", self._workspace, self._name)
        try:
            done = subprocess.run(
                [*command, str(self._folder)],
                check=False,
                timeout=timeout_seconds,
                capture_output=True,
                text=True,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            logger.warning("the prediction log stays on this machine for now: %s", type(error).__name__)
            return
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            logger.warning("the prediction log stays on this machine for now: %s", reason)


def _is_locked(file: IO[bytes]) -> bool:
    """Whether the lock of a file could be had; it is held until the file is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
