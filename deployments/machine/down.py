"""`make down`: stop every part, and see to it that nothing is left; `make status`: what runs, and how it is."""

import time
from typing import Final

import httpx
from rich.console import Console

from deployments.machine.health import is_well
from deployments.machine.lost_runs import taken_runs
from deployments.machine.machine import Machine
from deployments.machine.processes import end_processes, processes_of
from deployments.machine.supervision import Supervisor
from deployments.machine.up import locked

STOP_SECONDS: Final = 120.0


def down() -> None:
    """Stop everything; nothing where nothing runs."""
    machine = Machine.here()
    console = Console(highlight=False, soft_wrap=True)
    supervisor = Supervisor(machine)
    with locked(machine):
        began = time.monotonic()
        ran = supervisor.identifier is not None
        if ran:
            for name in _in_progress(machine):
                console.print(f"  {name} is stopped in the middle, and goes on at the next `make up`")
            supervisor.shut_down()
            while supervisor.identifier is not None and time.monotonic() - began < STOP_SECONDS:
                time.sleep(0.2)
        left = end_processes(machine.mark, polite_seconds=5)
    if ran:
        console.print(f"down in {time.monotonic() - began:.0f} s; {machine.folder} stays", markup=False)
    else:
        console.print(f"nothing ran on {machine.folder}" + (f"; {left} processes were left" if left else ""))


def status() -> None:
    """Say of each part whether it is well."""
    machine = Machine.here()
    console = Console(highlight=False, soft_wrap=True)
    supervisor = Supervisor(machine)
    if supervisor.identifier is None:
        left = len(processes_of(machine.mark))
        console.print(
            f"nothing runs on {machine.folder}" + (f", but {left} processes are left" if left else "")
        )
        return
    states = supervisor.states()
    for part in machine.parts:
        state = states[part.name]
        word = "well" if is_well(machine, part, state) else state.statename.lower()
        console.print(
            f"  {part.title:<28} {word:<10} {state.up_seconds:>7} s  {part.url or ''}".rstrip(), markup=False
        )
    console.print(f"  logs: {machine.logs}", markup=False)


def _in_progress(machine: Machine) -> list[str]:
    try:
        return sorted(str(run["name"]) for run in taken_runs(machine))
    except httpx.HTTPError:
        return []
