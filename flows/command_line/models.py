"""`lightbox models`: what is registered, and which of it is served."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from pydantic import ValidationError

from flows.command_line.options import JsonFile, Workspace
from flows.config import WorkspaceLocation
from tasks.options.command import Command

if TYPE_CHECKING:
    from tasks.models.alias_document import AliasChange
    from tasks.models.registry import Registry, Version

Name = Annotated[str, Parameter(help="Name of the model.")]
Reason = Annotated[str, Parameter(help="Why; it is kept in the history.")]

By = Annotated[
    str | None, Parameter(help="Who does it; kept in the history. Left out, this user of this machine.")
]

models = App(name="models")


@models.command(name="list")
@Command
def list_models(
    *,
    workspace: Workspace,
    name: Annotated[str | None, Parameter(help="One model; all of them when left out.")] = None,
    json: JsonFile = None,
) -> None:
    """List the versions of the models with their aliases and honest figures."""
    from rich.console import Console
    from rich.table import Table

    from flows.command_line.terminal import write_json
    from tasks.models.version_report import report_address

    registry = _registry(workspace)
    names = [name] if name is not None else registry.models()
    rows = [row for model in names for row in registry.list(model)]
    write_json([row.model_dump(mode="json", by_alias=True) for row in rows], json)
    if json is not None:
        return
    console = Console()
    if not rows:
        console.print(f"no model in {workspace.url}", highlight=False)
        return
    table = Table("model", "version", "alias", "created", "recall", "AUC", "images")
    for row in rows:
        table.add_row(row.name, row.version, ", ".join(row.aliases), *_figures(row))
    console.print(table)
    for model in names:
        shown = report_address(workspace.url, model, "champion") or (
            f"lightbox report --workspace {workspace.url} --name {model} --open"
        )
        console.print(f"report of {model}: {shown}", markup=False, highlight=False, soft_wrap=True)


@models.command
@Command
def show(
    *,
    workspace: Workspace,
    name: Name,
    version: Annotated[str, Parameter(help="A version such as v3, or champion or challenger.")] = "champion",
) -> None:
    """Show all that is known of one version, with the history of the aliases, as JSON."""
    from flows.command_line.terminal import write_json

    registry = _registry(workspace)
    shown = registry.show(name, version).model_dump(mode="json", by_alias=True)
    shown["history"] = registry.aliases(name).model_dump(mode="json", by_alias=True)["history"]
    write_json(shown, Path("-"))


@models.command
@Command
def promote(
    *,
    workspace: Workspace,
    name: Name,
    version: Annotated[str, Parameter(help="The version that is to be served.")],
    reason: Reason,
    by: By = None,
) -> None:
    """Serve a version from now on, whatever the gate said."""
    _say(name, _registry(workspace).promote(name, version, (f"by hand: {reason}",), by=_who(by)))


@models.command
@Command
def rollback(*, workspace: Workspace, name: Name, reason: Reason, by: By = None) -> None:
    """Serve the champion before this one again."""
    _say(name, _registry(workspace).rollback(name, (f"by hand: {reason}",), _who(by)))


def _who(by: str | None) -> str:
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        user = f"user {os.getuid()}"
    return by or f"{user}@{socket.gethostname()}"


def _registry(workspace: WorkspaceLocation) -> "Registry":
    from tasks.models.registry import Registry

    return Registry(workspace.open())


def _say(name: str, change: "AliasChange") -> None:
    sys.stdout.write(f"champion of {name}: {change.before or 'none'} -> {change.after}\n")


def _figures(row: "Version") -> tuple[str, str, str, str]:
    if row.manifest is None:
        return row.problem or "", "", "", ""
    metrics = row.manifest.metrics
    return (
        f"{row.manifest.created:%Y-%m-%d %H:%M}",
        _estimate(metrics.get("recall")),
        _estimate(metrics.get("auc")),
        str(metrics.get("n", "")),
    )


def _estimate(figure: object) -> str:
    from tasks.evaluation.intervals import Estimate
    from tasks.evaluation.words import NONE, with_interval

    try:
        return with_interval(Estimate.model_validate(figure))
    except ValidationError:  # there is none, or not in our form
        return NONE
