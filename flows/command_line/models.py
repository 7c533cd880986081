"""`lightbox models`: what is registered, and which of it is served."""

import sys
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from flows.command_line.output import write_json
from tasks.evaluation.intervals import Estimate
from tasks.evaluation.words import NONE, with_interval
from tasks.models.registry import Registry, Version
from tasks.stores.workspace import Workspace


def list_versions(workspace: str, name: str | None, json_file: Path | None) -> None:
    """Versions with their aliases and honest figures."""
    registry = Registry(Workspace(workspace))
    names = [name] if name is not None else registry.models()
    rows = [row for model in names for row in registry.list(model)]
    write_json([row.model_dump(mode="json", by_alias=True) for row in rows], json_file)
    if json_file is not None:
        return
    console = Console()
    if not rows:
        console.print(f"no model in {workspace}", highlight=False)
        return
    table = Table("model", "version", "alias", "created", "recall", "AUC", "images")
    for row in rows:
        table.add_row(row.name, row.version, ", ".join(row.aliases), *_figures(row))
    console.print(table)


def show_version(workspace: str, name: str, version: str) -> None:
    """All that is known of one version, with the history of the aliases, as JSON."""
    registry = Registry(Workspace(workspace))
    shown = registry.show(name, version).model_dump(mode="json", by_alias=True)
    shown["history"] = registry.aliases(name).model_dump(mode="json", by_alias=True)["history"]
    write_json(shown, Path("-"))


def promote_version(workspace: str, name: str, version: str, reason: str) -> None:
    """Serve a version because a person says so."""
    change = Registry(Workspace(workspace)).promote(name, version, (f"by hand: {reason}",))
    sys.stdout.write(f"champion of {name}: {change.before or 'none'} -> {change.after}\n")


def roll_back(workspace: str, name: str, reason: str) -> None:
    """Serve the champion before this one."""
    change = Registry(Workspace(workspace)).rollback(name, (f"by hand: {reason}",))
    sys.stdout.write(f"champion of {name}: {change.before or 'none'} -> {change.after}\n")


def _figures(row: Version) -> tuple[str, str, str, str]:
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
    try:
        return with_interval(Estimate.model_validate(figure))
    except ValidationError:  # there is none, or not in our form
        return NONE
