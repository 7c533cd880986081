"""`lightbox workspace`: what a workspace holds, and what of it can go."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from flows.command_line.output import write_json
from flows.command_line.terminal import progress_bars
from tasks.engine.display import progress_of
from tasks.pruning.prune import apply_prune, plan_prune, workspace_usage
from tasks.pruning.retention import Item
from tasks.stores.workspace import Workspace

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def show_usage(url: str, json_file: Path | None) -> None:
    """Files and sizes by kind and data set."""
    rows = workspace_usage(Workspace(url))
    write_json([row.model_dump(mode="json") for row in rows], json_file)
    if json_file is not None:
        return
    table = Table("kind", "of", "files", "size", title=url, title_justify="left")
    for row in rows:
        table.add_row(row.kind, row.name, str(row.files), _size(row.size_bytes))
    table.add_row("together", "", str(sum(row.files for row in rows)), _size(sum(r.size_bytes for r in rows)))
    Console().print(table)


def prune(
    url: str,
    name: str | None,
    *,
    keep: int,
    min_age_hours: float,
    apply: bool,
    json_file: Path | None,
    quiet: bool,
) -> None:
    """Say what goes and what stays; with `apply`, remove it."""
    workspace, console = Workspace(url), Console(stderr=True)
    if apply:
        with progress_bars(console, quiet=quiet or json_file == Path("-")):
            plan = apply_prune(
                workspace,
                name=name,
                keep=keep,
                min_age_hours=min_age_hours,
                progress=progress_of("prune", in_prefect=False),
            )
    else:
        plan = plan_prune(workspace, name=name, keep=keep, min_age_hours=min_age_hours)
    write_json(plan, json_file)
    if quiet or json_file is not None:
        return
    output = Console()
    output.print(_table("removed" if apply else "would go", plan.removed))
    output.print(_table("stays", plan.kept))
    if not apply:
        output.print("Nothing was changed. Add --apply to remove what would go.", highlight=False)


def _table(title: str, items: tuple[Item, ...]) -> Table:
    """Versions, runs and catalogues one by one; the rest by kind and reason."""
    table = Table("what", "files", "size", "why", title=title, title_justify="left")
    single = ("models", "runs", "catalogues")
    rows: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        rows.setdefault((item.item if item.kind in single else item.kind, item.reason), []).append(item)
    for (what, reason), found in rows.items():
        files = sum(len(item.paths) for item in found)
        table.add_row(what, str(files), _size(sum(item.size_bytes for item in found)), reason)
    files = sum(len(item.paths) for item in items)
    table.add_row("together", str(files), _size(sum(item.size_bytes for item in items)), "")
    return table


def _size(size_bytes: int) -> str:
    size, unit = float(size_bytes), 0
    while size >= 1000 and unit + 1 < len(_UNITS):
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"
