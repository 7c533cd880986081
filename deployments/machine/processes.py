"""The processes of a machine, found by the variable that all of them inherit: also those that lost their parent."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass

from deployments.machine.machine import MARK

_RUN = re.compile(r"(?:^|\s)PREFECT__FLOW_RUN_ID=([0-9a-f-]{36})(?=\s|$)")


@dataclass(frozen=True)
class Process:
    """One process, and the flow run that it works on."""

    pid: int
    flow_run: str | None


def processes_of(mark: str) -> tuple[Process, ...]:
    """All living processes of a machine but this one."""
    wanted = re.compile(rf"(?:^|\s){MARK}={re.escape(mark)}(?=\s|$)")
    # Its own environment is empty, so that it does not find itself.
    listed = subprocess.run(
        ["ps", "axeww", "-o", "pid=,command="],
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        capture_output=True,
        check=True,
    )
    found = []
    for line in listed.stdout.decode(errors="replace").splitlines():
        number, _, said = line.strip().partition(" ")
        if number.isdigit() and int(number) != os.getpid() and wanted.search(said):
            run = _RUN.search(said)
            found.append(Process(int(number), run.group(1) if run else None))
    return tuple(found)


def end_processes(mark: str, *, polite_seconds: float) -> int:
    """Ask all processes of a machine to end, then end them; how many there were."""
    found = processes_of(mark)
    _send(found, signal.SIGTERM)
    deadline = time.monotonic() + polite_seconds
    while (left := processes_of(mark)) and time.monotonic() < deadline:
        time.sleep(0.2)
    while left:
        _send(left, signal.SIGKILL)
        time.sleep(0.1)
        left = processes_of(mark)
    return len(found)


def _send(found: Iterable[Process], number: signal.Signals) -> None:
    for process in found:
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            continue
