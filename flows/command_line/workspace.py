"""`lightbox workspace`: what a workspace holds, what of it can go, and what of it must."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from flows.command_line.options import JsonFile, Quiet, Workspace
from flows.config import StoreLocation
from tasks.erasure.settings import ForgetSettings
from tasks.options.command import Command
from tasks.options.marks import Options
from tasks.pruning.settings import PruneSettings

if TYPE_CHECKING:
    from rich.table import Table

    from tasks.erasure.forget import ForgetPlan
    from tasks.pruning.retention import Item, PrunePlan

Stays = Annotated[PruneSettings, Options("What stays")]
Goes = Annotated[ForgetSettings, Options("What is forgotten")]

_UNITS = ("bytes", "kB", "MB", "GB", "TB")

workspace = App(name="workspace")


@workspace.command
@Command
def show(*, workspace: Workspace, json: JsonFile = None) -> None:
    """Say what takes up how much room."""
    from rich.console import Console
    from rich.table import Table

    from flows.command_line.terminal import write_json
    from tasks.pruning.prune import workspace_usage

    rows = workspace_usage(workspace.open())
    write_json([row.model_dump(mode="json") for row in rows], json)
    if json is not None:
        return
    table = Table("kind", "of", "files", "size", title=workspace.url, title_justify="left")
    for row in rows:
        table.add_row(row.kind, row.name, str(row.files), _size(row.size_bytes))
    table.add_row("together", "", str(sum(row.files for row in rows)), _size(sum(r.size_bytes for r in rows)))
    Console().print(table)


@workspace.command
@Command
def prune(
    *,
    workspace: Workspace,
    name: Annotated[str | None, Parameter(help="One data set and model; all of them when left out.")] = None,
    stays: Stays,
    apply: Annotated[
        bool, Parameter(negative=(), help="Remove; without it, only say what would go.")
    ] = False,
    json: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Remove old runs, versions and caches that no alias, rollback, comparison or kept run needs."""
    from rich.console import Console

    from flows.command_line.terminal import STANDARD_OUTPUT, progress_bars, write_json
    from tasks.engine.display import progress_of
    from tasks.pruning.prune import apply_prune, plan_prune

    place = workspace.open()
    if apply:
        with progress_bars(Console(stderr=True), quiet=quiet or json == STANDARD_OUTPUT):
            plan = apply_prune(place, stays, name=name, progress=progress_of("prune", in_prefect=False))
    else:
        plan = plan_prune(place, stays, name=name)
    write_json(plan, json)
    if not quiet and json is None:
        _show(plan, applied=apply)


Backups = Annotated[StoreLocation, Options("Backups", {"url": "backups", "block": "backups-block"})]


@workspace.command
@Command
def backup(
    *,
    workspace: Workspace,
    backups: Backups,
    keep: Annotated[
        int | None, Parameter(help="Remove all backups but so many; all stay when left out.")
    ] = None,
    json: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Copy what of the workspace is not in the backups yet to another store; a run may be at work."""
    from rich.console import Console

    from flows.command_line.terminal import STANDARD_OUTPUT, progress_bars, write_json
    from tasks.engine.display import progress_of
    from tasks.stores.backup import BackupStore

    store = BackupStore(backups.open())
    with progress_bars(Console(stderr=True), quiet=quiet or json == STANDARD_OUTPUT):
        done = store.back_up(workspace.open(), progress_of("backup", in_prefect=False))
    gone = store.keep_newest(keep) if keep is not None else []
    write_json(done, json)
    if not quiet and json is None:
        console = Console(highlight=False)
        console.print(f"backup {done.id}: {len(done.files)} files, {_size(done.size_bytes)}", markup=False)
        if gone:
            console.print(f"removed: {', '.join(gone)}", markup=False)


@workspace.command
@Command
def restore(
    *,
    workspace: Workspace,
    backups: Backups,
    backup: Annotated[
        str | None, Parameter(help="Its name, as `backup` said it; the newest when left out.")
    ] = None,
    json: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Put a backup back, every file verified, into a workspace that holds nothing yet."""
    from rich.console import Console

    from flows.command_line.terminal import STANDARD_OUTPUT, progress_bars, write_json
    from tasks.engine.display import progress_of
    from tasks.stores.backup import BackupStore

    store = BackupStore(backups.open())
    wanted = store.read(backup)
    with progress_bars(Console(stderr=True), quiet=quiet or json == STANDARD_OUTPUT):
        store.restore(wanted, workspace.open(), progress_of("restore", in_prefect=False))
    write_json(wanted, json)
    if not quiet and json is None:
        Console(highlight=False).print(
            f"backup {wanted.id} is back: {len(wanted.files)} files. What was forgotten since that backup is in it: "
            "forget it again.",
            markup=False,
        )


@workspace.command
@Command
def forget(
    *,
    workspace: Workspace,
    goes: Goes,
    apply: Annotated[
        bool, Parameter(negative=(), help="Forget; without it, only say what would go.")
    ] = False,
    json: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Take every trace of images, or of all of a patient, out of the workspace and this machine's cache, for ever."""
    from rich.console import Console

    from flows.command_line.terminal import STANDARD_OUTPUT, progress_bars, write_json
    from tasks.engine.display import progress_of
    from tasks.erasure.forget import forget as forget_images
    from tasks.erasure.forget import plan_forget
    from tasks.stores.fetch import default_cache_root

    if apply:
        with progress_bars(Console(stderr=True), quiet=quiet or json == STANDARD_OUTPUT):
            progress = progress_of("forget", in_prefect=False)
            plan = forget_images(workspace.open(), goes, default_cache_root(), progress)
    else:
        plan = plan_forget(workspace.open(), goes, default_cache_root())
    write_json(plan, json)
    if not quiet and json is None:
        _show_forgotten(plan, applied=apply)


def _show_forgotten(plan: "ForgetPlan", *, applied: bool) -> None:
    from collections import Counter

    from rich.console import Console
    from rich.table import Table

    output = Console(highlight=False)
    table = Table("kind", "changed", "removed", title="forgotten" if applied else "would be forgotten")
    counts = Counter((trace.kind, trace.fate) for trace in plan.traces)
    for kind in sorted({trace.kind for trace in plan.traces}):
        table.add_row(kind, str(counts[kind, "changed"]), str(counts[kind, "removed"]))
    table.add_row("this machine's cache", "", str(plan.here))
    output.print(table)
    output.print(f"{len(plan.sha256s)} images: {', '.join(plan.sha256s)}", markup=False)
    for path in plan.store_paths:
        output.print(f"in the image store: {path}", markup=False)
    if plan.near_copies:
        output.print(
            "Of the same group or copies of them, and not forgotten (add them by --sha256): "
            + ", ".join(plan.near_copies),
            markup=False,
        )
    output.print("To be done by hand:")
    for line in plan.elsewhere:
        output.print(f"  {line}", markup=False)
    if not applied:
        output.print("Nothing was changed. Add --apply to forget.")


def _show(plan: "PrunePlan", *, applied: bool) -> None:
    from rich.console import Console

    output = Console()
    output.print(_table("removed" if applied else "would go", plan.removed))
    output.print(_table("stays", plan.kept))
    for paths, what in (
        (plan.expired.removed, "files of the endpoint's log are too old"),
        (plan.expired.without_pictures, "files of the endpoint's log have pictures that are too old"),
    ):
        if paths:
            output.print(f"{len(paths)} {what}: {paths[0]} to {paths[-1]}", highlight=False)
    if not applied:
        output.print("Nothing was changed. Add --apply to remove what would go.", highlight=False)


def _table(title: str, items: tuple["Item", ...]) -> "Table":
    """Versions, runs and catalogues one by one; the rest by kind and reason."""
    from rich.table import Table

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
