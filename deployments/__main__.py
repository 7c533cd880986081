"""`python -m deployments`: the command that `lightbox deploy` is."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from deployments.command_line import run_command
from tasks.options.command import Command

app = App(name="deploy", help="Register everything with the Prefect server.", version_flags=[])


@app.default
@Command
def deploy(
    *,
    data_sets: Annotated[
        Path | None, Parameter(help="Folder with one YAML file a data set [deployments/data_sets].")
    ] = None,
    dry_run: Annotated[bool, Parameter(negative=(), help="Only say what would be changed.")] = False,
    reset_schedules: Annotated[
        bool, Parameter(negative=(), help="Also undo what was changed by hand in the schedules.")
    ] = False,
    send_test_message: Annotated[
        bool, Parameter(negative=(), help="Also send a message to everybody whom the files name in notify.")
    ] = False,
) -> None:
    """Register work pools, deployments with their schedules, and automations with the server of PREFECT_API_URL.

    Run again, it changes nothing. What was registered before and is no longer in the files is removed. Schedules
    that a person changed in the UI stay as they are.
    """
    from deployments.deploy import deploy as run

    run(data_sets, dry_run=dry_run, reset_schedules=reset_schedules, send_test_message=send_test_message)


if __name__ == "__main__":
    run_command(app)
