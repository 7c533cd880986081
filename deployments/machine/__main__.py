"""`python -m deployments.machine`: the command behind `make up`, `make down` and `make status`."""

from typing import Annotated

from cyclopts import App, Parameter

from deployments.command_line import run_command

Debug = Annotated[bool, Parameter(negative=(), help="Show the traceback of an expected failure.")]

app = App(
    name="python -m deployments.machine",
    help="The whole system on one machine, without containers.",
    version_flags=[],
)


@app.command
def up(*, debug: Debug = False) -> None:
    """Start everything, wait until it is well, and print where it is."""
    del debug
    from deployments.machine.up import up as run

    run()


@app.command
def down(*, debug: Debug = False) -> None:
    """Stop everything, so that no process is left."""
    del debug
    from deployments.machine.down import down as run

    run()


@app.command
def status(*, debug: Debug = False) -> None:
    """Say of each part whether it is well."""
    del debug
    from deployments.machine.down import status as run

    run()


@app.command
def watch(*, debug: Debug = False) -> None:
    """Look after the parts and their runs, until SIGTERM; a part itself."""
    del debug
    from deployments.machine.watch import watch as run

    run()


if __name__ == "__main__":
    run_command(app)
