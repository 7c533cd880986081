"""`make up`: start every part in its order, wait until each is well, and say where everything is."""

import fcntl
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import httpx
from rich.console import Console

from deployments.machine.health import is_well
from deployments.machine.lost_runs import lost_runs, see_to
from deployments.machine.machine import REPOSITORY, Machine, Part
from deployments.machine.processes import end_processes
from deployments.machine.secret_file import PREFECT_LOGIN
from deployments.machine.stock import stock
from deployments.machine.supervision import STOPPING, Supervisor, last_words
from tasks.errors import ConfigError

READY_SECONDS: Final = 240.0
MOST_STARTS: Final = 3
"""A part that ends so often will not come up by itself."""

AZURITE: Final = REPOSITORY / "infra" / "azurite"
NODE: Final = REPOSITORY / "infra" / "node"
LABEL_STUDIO: Final = REPOSITORY / "infra" / "label_studio"


def up() -> None:
    """Start what does not run; a second time only says so.

    Raises: ConfigError naming the part that does not start, the port that is taken or the program that is missing.
    """
    machine = Machine.here()
    console = Console(highlight=False, soft_wrap=True)
    supervisor = Supervisor(machine)
    with locked(machine):
        began = time.monotonic()
        _check_programs(machine)
        ran = _launched(machine, supervisor, console)
        first = [part for part in machine.parts if part.pool is None and part.name != "watch"]
        rest = [part for part in machine.parts if part not in first]
        for part in first:
            supervisor.start(part.name)
        _start(machine, supervisor, [part for part in first if part.name == "azurite"], console)
        with _said(console, "data") as say:
            count = stock(machine)
            say(f"containers and {count} demo images made" if count else "as it was")
        _start(machine, supervisor, [part for part in first if part.name != "azurite"], console)
        with _said(console, "deployments") as say:
            say(_deploy(machine))
        if not ran:
            _see_to_lost_runs(machine, console)
        _start(machine, supervisor, rest, console)
        file = machine.write_environment()
    words = "it ran already" if ran else f"up in {time.monotonic() - began:.0f} s"
    _say_where(machine, console, words, str(file))


@contextmanager
def locked(machine: Machine) -> Iterator[None]:
    """One command at a time.

    Raises: ConfigError where another one is at work.
    """
    with (machine.folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                f"Another `make up` or `make down` is at work on {machine.folder}.", cure="wait for its end"
            ) from None
        yield


def _check_programs(machine: Machine) -> None:
    if subprocess.run([NODE, "node", "--version"], capture_output=True, check=False).returncode:
        raise ConfigError(
            "Node.js is missing, which runs Azurite, the blob store.", cure="run `make install`"
        )
    if not (AZURITE / "node_modules" / "azurite").is_dir():
        raise ConfigError(
            f"Azurite, the blob store, is not installed in {AZURITE}.", cure="run infra/azurite/install"
        )
    if machine.settings.label_studio:
        done = subprocess.run([LABEL_STUDIO / "install"], check=False)
        if done.returncode:
            raise ConfigError(
                "Label Studio cannot be installed, see above.",
                cure=f"set label_studio: false in {machine.folder / 'settings.yaml'}, or mend it",
            )


def _launched(machine: Machine, supervisor: Supervisor, console: Console) -> bool:
    """Whether the supervisor ran already; if not it is started, once the ports are free."""
    running = supervisor.identifier
    if running == machine.identifier:
        return True
    if running == STOPPING:
        raise ConfigError(f"The parts on {machine.folder} are being stopped.", cure="try again in a moment")
    if running is not None:
        raise ConfigError(
            f"Settings, secrets or Lightbox were changed since the parts on {machine.folder} were started.",
            cure="run `make down`, then `make up`",
        )
    if left := end_processes(machine.mark, polite_seconds=10):
        console.print(f"  {left} processes that an earlier supervisor left behind were ended")
    for part in machine.parts:
        if part.port is not None and _is_taken(part.port):
            name = part.name.replace("-", "_")
            raise ConfigError(
                f"Port {part.port}, of the {part.title}, is taken by another program.",
                cure=f"end that program, or change ports.{name} in {machine.folder / 'settings.yaml'}",
            )
    supervisor.launch()
    return False


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _start(machine: Machine, supervisor: Supervisor, parts: Sequence[Part], console: Console) -> None:
    """Start parts side by side, and wait until all are well."""
    began = time.monotonic()
    for part in parts:
        supervisor.start(part.name)
    waiting, started = list(parts), {part.name: set[int]() for part in parts}
    while waiting:
        states = supervisor.states()
        for part in tuple(waiting):
            state, now = states[part.name], time.monotonic()
            if is_well(machine, part, state):
                waiting.remove(part)
                console.print(f"  {part.title:<28} {f'{now - began:.1f} s':>7}  {part.url or ''}".rstrip())
            started[part.name] |= {state.pid} - {0}
            if state.statename == "FATAL" or len(started[part.name]) > MOST_STARTS:
                raise _did_not_start(machine, part, state.spawnerr or "it ends again and again")
            if now - began > READY_SECONDS:
                raise _did_not_start(machine, part, f"it does not answer after {READY_SECONDS:.0f} s")
        time.sleep(0.3)


def _did_not_start(machine: Machine, part: Part, why: str) -> ConfigError:
    log = machine.logs / f"{part.name}.log"
    return ConfigError(
        f"The {part.title} did not start: {why}. Its log {log} ends with:\n{last_words(log)}",
        cure="mend that and run `make up` again, which starts what does not run; or `make down`",
    )


@contextmanager
def _said(console: Console, title: str) -> Iterator[Callable[[str], None]]:
    began = time.monotonic()
    words: list[str] = []
    yield words.append
    console.print(f"  {title:<28} {f'{time.monotonic() - began:.1f} s':>7}  {' '.join(words)}", markup=False)


def _deploy(machine: Machine) -> str:
    """Run `lightbox deploy`; the last line that it says."""
    command = [sys.executable, "-m", "deployments", "--data-sets", str(machine.folder / "data_sets")]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=machine.whole_environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ConfigError(
            f"`lightbox deploy` failed: {done.stderr.strip().removeprefix('error: ')[-1500:]}",
            cure=f"then run `make up` again; data sets stand in {machine.folder / 'data_sets'}",
        )
    return done.stdout.strip().splitlines()[-1]


def _see_to_lost_runs(machine: Machine, console: Console) -> None:
    """What ran when the machine was stopped goes on; no worker runs yet."""
    try:
        lost = lost_runs(machine, workers_run=False)
        see_to(machine, lost)
    except httpx.HTTPError as error:
        raise ConfigError(f"The Prefect server refuses: {error}", cure="run `make up` again") from error
    for run in lost:
        console.print(f"  {run.name} was stopped in the middle: {run.outcome}", markup=False)


def _say_where(machine: Machine, console: Console, words: str, environment: str) -> None:
    console.print(f"\nLightbox: {words}", markup=False)
    for part in machine.parts:
        if part.url is not None:
            console.print(f"  {part.title:<16} {part.url}", markup=False)
    rows = {
        "Prefect's login": f"{PREFECT_LOGIN} in {machine.secrets_file}",
        "endpoint's keys": machine.secrets_file,
        "logs": machine.logs,
        "settings, data": machine.folder,
        "for `lightbox`": f". {environment}",
    }
    for title, value in rows.items():
        console.print(f"  {title:<16} {value}", markup=False)
