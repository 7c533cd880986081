"""The `local` compute driver: a Prefect worker process on this machine."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import Field, ValidationError

from tasks.compute.settings import ComputeStatus
from tasks.record import Frozen
from tasks.server.work_pool import forget_worker, online_workers
from tasks.stores.fetch import default_cache_root

POLITE_SECONDS = 20.0
QUERY_SECONDS = 2


class WorkerProcess(Frozen):
    """What is known of the worker that was started, kept in a file beside its log."""

    pid: int = Field(gt=1, description="Process and session id.")
    name: str = Field(description="Name of the worker, which stands on its command line too.")


class LocalWorker:
    """Starts and stops one worker of a pool; several processes may ask at once."""

    def __init__(self, pool: str, folder: Path | None = None) -> None:
        self._pool = pool
        self._folder = folder or default_cache_root() / "compute" / pool
        self._record = self._folder / "worker.json"

    @property
    def log(self) -> Path:
        """What the worker says."""
        return self._folder / "worker.log"

    def start(self) -> None:
        """Start the worker in a session of its own, so that it outlives the run that wakes it."""
        with self._locked():
            if self._running() is not None:
                return
            if (dead := self._recorded()) is not None:
                forget_worker(self._pool, dead.name)
            name = f"lightbox-local-{self._pool}-{os.getpid()}-{time.time_ns() % 10**9}"
            command = [sys.executable, "-m", "prefect", "worker", "start"]
            command += ["--pool", self._pool, "--type", "process", "--name", name]
            self.log.touch()
            pid = os.posix_spawn(
                sys.executable,
                command,
                _environment(),
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, str(self.log), os.O_WRONLY | os.O_APPEND, 0o644),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
                setsigdef=[signal.SIGINT, signal.SIGTERM],
            )
            self._record.write_text(WorkerProcess(pid=pid, name=name).model_dump_json())

    def stop(self) -> None:
        """Ask the worker to end, then end its whole session; it is gone from the server's list too."""
        with self._locked():
            worker = self._running()
            if worker is not None:
                _end(worker.pid)
                forget_worker(self._pool, worker.name)
            self._record.unlink(missing_ok=True)

    def status(self) -> ComputeStatus:
        """Ready when this very worker is online."""
        worker = self._running()
        if worker is None:
            return "asleep"
        return "ready" if worker.name in online_workers(self._pool) else "starting"

    def _running(self) -> WorkerProcess | None:
        worker = self._recorded()
        return worker if worker is not None and _is_alive(worker) else None

    def _recorded(self) -> WorkerProcess | None:
        try:
            return WorkerProcess.model_validate_json(self._record.read_bytes())
        except (OSError, ValidationError):
            return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _is_alive(worker: WorkerProcess) -> bool:
    """By the command line: a process id alone may have been given to another process since."""
    _reap(worker.pid)
    seen = subprocess.run(
        ["ps", "-o", "command=", "-p", str(worker.pid)], capture_output=True, text=True, check=False
    )
    return worker.name in seen.stdout


def _end(pid: int) -> None:
    _signal_session(pid, signal.SIGTERM)
    deadline = time.monotonic() + POLITE_SECONDS
    while time.monotonic() < deadline and _exists(pid):
        time.sleep(0.1)
    _signal_session(pid, signal.SIGKILL)
    _reap(pid)


def _signal_session(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def _exists(pid: int) -> bool:
    _reap(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _reap(pid: int) -> None:
    """Take the exit status of a worker that this very process started; init does it for all others."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _environment() -> dict[str, str]:
    """This process's environment and Prefect settings, without what belongs to the flow run that it executes."""
    from prefect.settings import get_current_settings

    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT__")}
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    return {**inherited, **settings, "PREFECT_WORKER_QUERY_SECONDS": str(QUERY_SECONDS)}
