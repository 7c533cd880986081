"""Prune: remove from a workspace what no alias, kept version or kept run needs; and say what it holds."""

import io
import json
import time
from collections.abc import Mapping, Sequence
from functools import cache, partial
from itertools import groupby
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from tasks.data.folds import FoldLedger
from tasks.data.patient_keys import PatientKeys
from tasks.engine.kept import read_result, read_use
from tasks.errors import RegistryError, WorkspaceError
from tasks.models.manifest import checked_name
from tasks.models.registry import Registry
from tasks.pruning.expiry import expire, expired_log
from tasks.pruning.retention import (
    EntryFacts,
    Item,
    PrunePlan,
    RunNeeds,
    WorkspaceFacts,
    plan_pruning,
)
from tasks.pruning.settings import PruneSettings
from tasks.record import Frozen
from tasks.stores.files import Blob
from tasks.stores.layout import FOLD_LEDGER, Kind, place_of, run_of_use, turn
from tasks.stores.workspace import VersionedDocument, Workspace
from tasks.work.pool import map_in_order
from tasks.work.progress import Progress, silent

THREADS: Final = 8


class Usage(Frozen):
    """What one kind of file takes up."""

    kind: Kind = Field(description="What it is.")
    name: str = Field(description="Data set or model; empty where several share it.")
    files: int = Field(ge=0, description="Files.")
    size_bytes: int = Field(ge=0, description="Their sizes together.")


def workspace_usage(workspace: Workspace) -> list[Usage]:
    """Files and bytes by kind and by data set, the largest first."""
    files = workspace.files()
    runs = {run: needs.name for run, needs in _runs(workspace, files, {}).items()}
    totals: dict[tuple[Kind, str], tuple[int, int]] = {}
    for blob in files:
        place = place_of(blob.path)
        kind, name = place.kind, place.name
        if kind == "runs":
            name = runs.get(place.part, "")
        count, size_bytes = totals.get((kind, name), (0, 0))
        totals[kind, name] = count + 1, size_bytes + blob.size_bytes
    rows = [
        Usage(kind=kind, name=name, files=count, size_bytes=size)
        for (kind, name), (count, size) in totals.items()
    ]
    return sorted(rows, key=lambda row: (-row.size_bytes, row.kind, row.name))


def plan_prune(workspace: Workspace, stays: PruneSettings, *, name: str | None) -> PrunePlan:
    """Look at a workspace and say what goes; nothing is changed. See `plan_pruning` for the rule.

    Raises: WorkspaceError when the workspace does not answer, or no file of `name` stands there.
    """
    facts = _facts(workspace)
    if name is not None and not _is_known(facts, name):
        known = sorted({needs.name for needs in facts.runs.values()} | {model for model, _ in facts.versions})
        raise WorkspaceError(
            f"{workspace.url} holds nothing of {name}", cure=f"name one of {', '.join(known) or 'none'}"
        )
    now = time.time()
    plan = plan_pruning(
        facts, name=name, keep=stays.keep, now_seconds=now, min_age_seconds=stays.min_age_hours * 3600
    )
    expired = expired_log(
        workspace,
        name,
        log_days=stays.log_retention_days,
        picture_days=stays.log_picture_days,
        now_seconds=now,
    )
    return plan.model_copy(update={"expired": expired})


def apply_prune(
    workspace: Workspace, stays: PruneSettings, *, name: str | None, progress: Progress = silent
) -> PrunePlan:
    """Remove what the plan says; what was removed, and what stays.

    Kept results of stages go first, so that a run which begins now takes none of them. Then the plan is made
    again, and only what goes by both goes: a run that had just taken something has said so. Stopped in the
    middle, the same command goes on. A version goes by its `bundle.json` first.

    Raises: WorkspaceError when the workspace does not answer.
    """
    first = plan_prune(workspace, stays, name=name)
    entries = [path for item in first.removed if item.kind == "stage results" for path in item.paths]
    list(map_in_order(workspace.delete, entries, THREADS))
    still = plan_prune(workspace, stays, name=name)
    wanted = {path for item in first.removed for path in item.paths}
    going = [
        item.model_copy(update={"paths": tuple(path for path in item.paths if path in wanted)})
        for item in still.removed
        if item.kind != "stage results"
    ]
    total = sum(len(item.paths) for item in going)
    done = 0
    for item in going:
        _remove(workspace, item)
        done += len(item.paths)
        progress(done, total, "files removed")
    expire(workspace, still.expired)
    removed = [item for item in first.removed if item.kind == "stage results"]
    return still.model_copy(update={"removed": (*removed, *(item for item in going if item.paths))})


def _remove(workspace: Workspace, item: Item) -> None:
    if item.kind == "models":
        place = place_of(item.paths[0])
        try:
            Registry(workspace).unpublish(place.name, place.part)
        except RegistryError:  # it was promoted a moment ago, and stays
            return
    for _, paths in groupby(item.paths, key=turn):
        list(map_in_order(workspace.delete, list(paths), THREADS))


def _is_known(facts: WorkspaceFacts, name: str) -> bool:
    return any(place_of(blob.path).name == name for blob in facts.files) or any(
        needs.name == name for needs in facts.runs.values()
    )


def _facts(workspace: Workspace) -> WorkspaceFacts:
    files = [*workspace.files(), *workspace.leftovers()]
    paths = [blob.path for blob in files if place_of(blob.path).kind == "stage results"]
    read = map_in_order(partial(read_result, workspace), paths, THREADS)
    results = {path: result for path, result in zip(paths, read, strict=True) if result is not None}
    entries = {
        path: EntryFacts(result.name, frozenset(file.path for file in result.files))
        for path, result in results.items()
    }
    folders = {path: result.folders for path, result in results.items()}
    versions, titles = _versions(workspace, files)

    @cache
    def contents(path: str) -> frozenset[str]:
        return _contents(workspace, path)

    return WorkspaceFacts(
        files=files,
        contents=contents,
        runs=_runs(workspace, files, folders),
        entries=entries,
        versions=versions,
        titles=titles,
        remembered=_remembered(workspace, files),
    )


def _runs(
    workspace: Workspace, files: Sequence[Blob], image_folders: Mapping[str, frozenset[str]]
) -> dict[str, RunNeeds]:
    paths = [blob.path for blob in files if run_of_use(blob.path) is not None]
    runs: dict[str, RunNeeds] = {}
    for path, use in zip(paths, map_in_order(partial(read_use, workspace), paths, THREADS), strict=True):
        run = run_of_use(path)
        if run is None or use is None:
            continue
        known = runs.get(run, RunNeeds(use.name))
        runs[run] = RunNeeds(
            use.name,
            known.files | frozenset(use.files),
            known.entries | {use.entry},
            known.image_folders | image_folders.get(use.entry, frozenset()),
        )
    return runs


def _versions(
    workspace: Workspace, files: Sequence[Blob]
) -> tuple[dict[tuple[str, str], str], dict[tuple[str, str], str]]:
    """The data set's digest of each whole version, and why those must stay that have a title."""
    registry = Registry(workspace)
    versions, titles = {}, {}
    for model in sorted({place_of(blob.path).name for blob in files if place_of(blob.path).kind == "models"}):
        for row in registry.list(checked_name(model)):
            versions[model, row.version] = row.manifest.dataset_digest if row.manifest else ""
        aliases = registry.aliases(model)
        titled = [
            (aliases.last_opponent(), "the champion is compared with it"),
            *((version, "a rollback leads to it") for version in aliases.former_champions()),
            (aliases.challenger, "challenger"),
            (aliases.champion, "champion"),
        ]
        titles.update({(model, version): title for version, title in titled if version is not None})
    return versions, titles


def _remembered(workspace: Workspace, files: Sequence[Blob]) -> frozenset[str]:
    """The contents that the fold ledgers know."""
    names = {place_of(blob.path).name for blob in files if place_of(blob.path).kind == "fold ledger"}
    known: set[str] = set()
    for name in sorted(names):
        data = VersionedDocument(workspace, FOLD_LEDGER.folder(name=name)).read()[1]
        if data is not None:
            known.update(FoldLedger.parse(data, PatientKeys(workspace)).entries)
    return frozenset(known)


def _contents(workspace: Workspace, path: str) -> frozenset[str]:
    """The digests that a catalogue, an embedding file or a shard's list holds; none where it cannot be read."""
    try:
        data = workspace.read(path)
        if path.endswith(".json"):
            return frozenset(json.loads(data)["sha256"])
        return frozenset(pq.read_table(io.BytesIO(data), columns=["sha256"])["sha256"].to_pylist())
    except (pa.ArrowException, ValueError, KeyError, OSError):
        return frozenset()
