"""The `supervisor` compute driver: a program of a supervisord on this machine, over its unix socket.

States are those of https://supervisord.org/subprocess.html.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xmlrpc.client import Error, Fault

from supervisor.xmlrpc import Faults

from tasks.compute.settings import ComputeStatus, SupervisorCompute
from tasks.compute.supervisord import ignoring, supervisord_at
from tasks.errors import ComputeUnavailable, ConfigError
from tasks.server.work_pool import online_workers

ASLEEP = ("STOPPED", "EXITED", "FATAL", "UNKNOWN")


class SupervisedWorker:
    """Starts and stops one program of supervisord."""

    def __init__(self, pool: str, settings: SupervisorCompute) -> None:
        self._pool = pool
        self._settings = settings
        self._asked = False

    def start(self) -> None:
        """Ask supervisord to start the program, once.

        Raises: ComputeUnavailable when it cannot be kept running; ConfigError without socket or program.
        """
        info = self._info()
        if info["statename"] not in ASLEEP:
            return
        if self._asked:
            raise ComputeUnavailable(
                f"The program '{self._settings.program}' does not stay up: "
                f"{info['spawnerr'] or info['description']}.",
                cure=f"look at its log, {info['stdout_logfile'] or 'which supervisord.conf names'}",
            )
        with self._server() as server, ignoring(Faults.ALREADY_STARTED):
            server.startProcess(self._settings.program, False)
        self._asked = True

    def stop(self) -> None:
        """Stop the program and wait until it has stopped."""
        self._asked = False
        with self._server() as server, ignoring(Faults.NOT_RUNNING):
            server.stopProcess(self._settings.program, True)

    def status(self) -> ComputeStatus:
        """Ready when the program runs and the pool has a worker."""
        state = self._info()["statename"]
        if state in ASLEEP:
            return "asleep"
        return "ready" if state == "RUNNING" and online_workers(self._pool) else "starting"

    def _info(self) -> dict[str, Any]:
        with self._server() as server:
            found: Any = server.getProcessInfo(self._settings.program)
        return dict(found)

    @contextmanager
    def _server(self) -> Iterator[Any]:
        """A connection of its own for each call; its errors as ours."""
        try:
            with supervisord_at(Path(self._settings.socket)) as server:
                yield server
        except Fault as error:
            if error.faultCode == Faults.BAD_NAME:
                raise ConfigError(
                    f"supervisord at {self._settings.socket} has no program '{self._settings.program}'.",
                    cure="name one that `supervisorctl status` lists",
                ) from error
            raise ComputeUnavailable(
                f"supervisord could not start or stop '{self._settings.program}': {error.faultString}",
                cure="look at `supervisorctl status` and at supervisord's log",
            ) from error
        except (OSError, Error) as error:
            raise ComputeUnavailable(
                f"supervisord does not answer at {self._settings.socket}: {error}",
                cure="start it, or correct the path; the worker's account must be allowed to write to the socket",
            ) from error
