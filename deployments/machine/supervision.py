"""The supervisor of a machine: started once, and spoken to through a socket that only this user may open."""

import subprocess
import sys
from pathlib import Path
from typing import Any, Final
from xmlrpc.client import Fault

from pydantic import BaseModel, ConfigDict, Field
from supervisor.xmlrpc import Faults

from deployments.machine.machine import REPOSITORY, Machine
from tasks.compute.supervisord import ignoring, supervisord_at
from tasks.errors import ConfigError

CONFIGURATION: Final = REPOSITORY / "infra" / "local" / "supervisord.conf"
TAIL_BYTES: Final = 2000
STOPPING: Final = "stopping"


class ProgramState(BaseModel):
    """What the supervisor knows of a program."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="Its name.")
    statename: str = Field(
        description="RUNNING, STARTING, BACKOFF, STOPPING, STOPPED, EXITED, FATAL, UNKNOWN."
    )
    start: int = Field(description="When it was started, seconds since the epoch.")
    now: int = Field(description="The supervisor's clock.")
    pid: int = Field(description="Its process, 0 where there is none.")
    spawnerr: str = Field(description="Why it could not be started.")

    @property
    def up_seconds(self) -> int:
        """How long it has been running."""
        return self.now - self.start if self.pid else 0


class Supervisor:
    """A machine's supervisor."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    @property
    def identifier(self) -> str | None:
        """What it was started with, or `STOPPING`; None where none runs."""
        try:
            return str(self._ask("getIdentification"))
        except OSError:
            return None
        except Fault as fault:
            if fault.faultCode != Faults.SHUTDOWN_STATE:
                raise
            return STOPPING

    def launch(self) -> None:
        """Start it in the background.

        Raises: ConfigError with what it says when it does not start.
        """
        self._machine.socket.unlink(missing_ok=True)
        command = [sys.executable, "-m", "supervisor.supervisord", "--configuration", str(CONFIGURATION)]
        done = subprocess.run(
            [*command, "--identifier", self._machine.identifier],
            cwd=REPOSITORY,
            env=self._machine.whole_environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ConfigError(
                f"The supervisor did not start: {(done.stderr or done.stdout).strip()[-500:]}",
                cure=f"look at {self._machine.logs / 'supervisor.log'}",
            )

    def states(self) -> dict[str, ProgramState]:
        """All programs by name."""
        rows = [ProgramState.model_validate(row) for row in self._ask("getAllProcessInfo")]
        return {row.name: row for row in rows}

    def start(self, name: str) -> None:
        """Begin to start a program; nothing where it runs."""
        with ignoring(Faults.ALREADY_STARTED):
            self._ask("startProcess", name, False)

    def kill(self, name: str) -> None:
        """End a program at once; it is started again."""
        with ignoring(Faults.NOT_RUNNING):
            self._ask("signalProcess", name, "KILL")

    def shut_down(self) -> None:
        """Stop all programs in their order, then the supervisor itself; returns at once."""
        self._ask("shutdown")

    def _ask(self, method: str, *arguments: Any) -> Any:
        with supervisord_at(self._machine.socket) as server:
            return getattr(server, method)(*arguments)


def last_words(log: Path) -> str:
    """The last lines of a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return "(no log)"
    return "\n".join(line for line in lines[-8:] if line.strip()) or "(its log is empty)"
