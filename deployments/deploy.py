"""`lightbox deploy`: make the Prefect server what the rows and the data-set files say; again, and nothing changes."""

from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from rich.console import Console

from deployments.data_set_file import DataSetFile, read_data_sets
from deployments.desired import DesiredState, channels_of, desired_state
from deployments.plan import Change, Plan, make_plan, write_record
from deployments.registered import POOLS, SHARED, Channel
from deployments.try_channels import BLOCK_TYPES, send_test_messages
from tasks.errors import ConfigError
from tasks.server.blocks import Datastore, Email, LabelStudioToken
from tasks.server.upcoming import ensure_upcoming_runs, upcoming_runs
from tasks.server.work_pool import client

DATA_SETS = Path(__file__).parent / "data_sets"

SIGNS = {"create": "+", "change": "~", "remove": "-"}


def deploy(
    data_sets: Path | None, *, dry_run: bool, reset_schedules: bool, send_test_message: bool = False
) -> Plan:
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
        ensured = None if dry_run else ensure_upcoming_runs(server)
        runs = [] if dry_run else _next_runs(server, desired)
    if send_test_message:
        send_test_messages(channels_of(files))
    _show(plan, runs, dry_run=dry_run)
    if ensured is not None and ensured.failed:
        raise ConfigError(
            "Everything is registered, but " + "; ".join(ensured.failed),
            cure="correct or remove this schedule in the data-set file, or in the Prefect UI where it was added there",
        )
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


def _next_runs(server: SyncPrefectClient, desired: DesiredState) -> list[str]:
    """A line for each deployment with runs to come: when, in the time zone of its schedule."""
    found = {row.name: row for row in server.read_deployments(limit=200)}
    lines = []
    for row in desired.deployments:
        there = found.get(row.name)
        due = upcoming_runs(server, there.id)[:2] if there is not None and there.schedules else []
        if there is None or not due:
            continue
        zone = str(getattr(there.schedules[0].schedule, "timezone", None) or "UTC")
        times = [f"{time.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}" for time in due]
        lines.append(f"{row.name}: {', then '.join(times)} ({zone})")
    return lines


def _show(plan: Plan, runs: list[str], *, dry_run: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for change in plan.changes:
        console.print(_line(change), markup=False)
    for words in plan.kept:
        console.print(f"  {words}; kept, --reset-schedules would undo it", markup=False)
    for line in runs:
        console.print(f"  next runs of {line}", markup=False)
    count = len(plan.changes)
    if not count:
        console.print("no change")
    else:
        console.print(f"{count} changes" + (" would be made" if dry_run else " made"))


def _line(change: Change) -> str:
    detail = f" ({'; '.join(change.words)})" if change.words else ""
    return f"{SIGNS[change.action]} {change.kind} {change.name}{detail}"
