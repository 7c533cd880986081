"""`python -m deployments.machine`: the command behind `make up`, `make down` and `make status`."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from deployments.command_line import run_command
from tasks.options.command import Command

app = App(
    name="python -m deployments.machine",
    help="The whole system on one machine, without containers.",
    version_flags=[],
)


@app.command
@Command
def up() -> None:
    """Start everything, wait until it is well, and print where it is."""
    from deployments.machine.up import up as run

    run()


@app.command
@Command
def down() -> None:
    """Stop everything, so that no process is left."""
    from deployments.machine.down import down as run

    run()


@app.command
@Command
def status() -> None:
    """Say of each part whether it is well."""
    from deployments.machine.down import status as run

    run()


@app.command
@Command
def backup(*, to: Annotated[Path, Parameter(help="Folder that the archive is written into.")]) -> None:
    """Write settings, secrets, stores and databases of a machine that is down into one archive."""
    from deployments.machine.backup import back_up

    sys.stdout.write(f"{back_up(to)}\n")


@app.command
@Command
def restore(archive: Annotated[Path, Parameter(help="The archive.")], /) -> None:
    """Put an archive back where this machine has nothing yet."""
    from deployments.machine.backup import restore as run

    sys.stdout.write(f"{run(archive)} is back: make up\n")


@app.command
@Command
def watch() -> None:
    """Look after the parts and their runs, until SIGTERM; a part itself."""
    from deployments.machine.watch import watch as run

    run()


if __name__ == "__main__":
    run_command(app)
