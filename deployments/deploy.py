"""`lightbox deploy`: make the Prefect server what the rows and the data-set files say; again, and nothing changes."""

from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from rich.console import Console

from deployments.data_set_file import DataSetFile, read_data_sets
from deployments.desired import channels_of, desired_state
from deployments.plan import Change, Plan, make_plan, write_record
from deployments.registered import POOLS, SHARED, Channel
from tasks.errors import ConfigError
from tasks.server.blocks import Datastore, Email, LabelStudioToken
from tasks.server.upcoming import ensure_upcoming_runs
from tasks.server.work_pool import client

DATA_SETS = Path(__file__).parent / "data_sets"

BLOCK_TYPES = {
    "slack": "slack-webhook",
    "teams": "ms-teams-webhook",
    "email": Email.get_block_type_slug(),
    "webhook": "custom-webhook",
}
SIGNS = {"create": "+", "change": "~", "remove": "-"}


def deploy(data_sets: Path | None, *, dry_run: bool, reset_schedules: bool) -> Plan:
    """Find what differs, say it, and change it unless this is a dry run.

    Raises: ConfigError when no server is configured, a file is wrong, or a notification block is missing.
    """
    files = read_data_sets(data_sets or DATA_SETS)
    _check_server()
    _check_pools(files)
    with client() as server:
        desired = desired_state(POOLS, SHARED, files, _blocks(server, files), _ui_url())
        plan = make_plan(server, desired, reset_schedules=reset_schedules)
        if not dry_run:
            for block_type in (Datastore, Email, LabelStudioToken):
                block_type.register_type_and_schema()
            for change in plan.changes:
                change.apply(server)
            write_record(server, desired)
            ensure_upcoming_runs(server)
    _show(plan, dry_run=dry_run)
    return plan


def _check_server() -> None:
    if get_current_settings().api.url is None:
        raise ConfigError(
            "No Prefect server is configured.",
            cure="start one (docs/deployments.md) and set PREFECT_API_URL, such as http://127.0.0.1:4200/api",
        )


def _check_pools(files: tuple[DataSetFile, ...]) -> None:
    for data_set in files:
        if data_set.compute.pool is None:
            continue
        sent = ["fine-tune", *(["search"] if data_set.training.searches(data_set.search) else [])]
        for name in sent:
            served = {row.pool for row in SHARED if row.name.startswith(name)}
            if data_set.compute.pool not in served:
                raise ConfigError(
                    f"{data_set.name}: compute.pool: no {name} deployment stands on the pool "
                    f"'{data_set.compute.pool}'",
                    cure=f"use one of {', '.join(sorted(served))}, or add rows to deployments/registered.py",
                )


def _ui_url() -> str:
    """Where people look at runs, without a slash at its end."""
    settings = get_current_settings()
    return (settings.ui_url or (settings.api.url or "").removesuffix("/api")).rstrip("/")


def _blocks(server: SyncPrefectClient, files: tuple[DataSetFile, ...]) -> dict[str, UUID]:
    return {channel.name: _block(server, channel) for channel in channels_of(files)}


def _block(server: SyncPrefectClient, channel: Channel) -> UUID:
    kind = BLOCK_TYPES[channel.kind]
    try:
        return server.read_block_document_by_name(channel.block, kind, include_secrets=False).id
    except ObjectNotFound as error:
        raise ConfigError(
            f"There is no notification block '{channel.block}' of type {kind} on the Prefect server.",
            cure="make it in the Prefect UI under Blocks, where its address and secrets belong, or take the channel "
            "out of the data-set file",
        ) from error


def _show(plan: Plan, *, dry_run: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for change in plan.changes:
        console.print(_line(change), markup=False)
    for words in plan.kept:
        console.print(f"  {words}; kept, --reset-schedules would undo it", markup=False)
    count = len(plan.changes)
    if not count:
        console.print("no change")
    else:
        console.print(f"{count} changes" + (" would be made" if dry_run else " made"))


def _line(change: Change) -> str:
    detail = f" ({'; '.join(change.words)})" if change.words else ""
    return f"{SIGNS[change.action]} {change.kind} {change.name}{detail}"
