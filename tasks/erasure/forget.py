"""Forget images: take every trace of them out of a workspace and this machine, and say what is left elsewhere."""

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from tasks.data.folds import FoldLedger
from tasks.data.patient_keys import PatientKeys
from tasks.erasure.elsewhere import elsewhere
from tasks.erasure.machine_cache import forget_here, held_here
from tasks.erasure.records import ErasureRecord, Forgotten
from tasks.erasure.rewriting import UNREAD, without
from tasks.erasure.settings import ForgetSettings
from tasks.erasure.subject import Subject
from tasks.erasure.traces import Traces, contents_of_group, digest, forgotten_before, traces_of
from tasks.errors import WorkspaceError
from tasks.record import Frozen
from tasks.stores.layout import FOLD_LEDGER, Kind, place_of
from tasks.stores.workspace import VersionedDocument, Workspace
from tasks.work.progress import Progress, silent

_BY_RULE = "fold ledger"


class Trace(Frozen):
    """A file that names an image, and what becomes of it."""

    path: str = Field(description="Below the workspace.")
    kind: Kind = Field(description="What it is.")
    fate: Literal["changed", "removed"] = Field(
        description="Written again without the image, or gone as a whole."
    )


class ForgetPlan(Frozen):
    """What is forgotten, and what is left to do by hand."""

    sha256s: tuple[str, ...] = Field(description="The images, with those of equal pixels.")
    store_paths: tuple[str, ...] = Field(
        description="Where they stand in their stores, to be removed by hand."
    )
    near_copies: tuple[str, ...] = Field(
        description="Images that count as copies of them or are of the same group, and stay."
    )
    learnt: tuple[str, ...] = Field(
        description="Model versions that learnt from them; weights do not change."
    )
    traces: tuple[Trace, ...] = Field(description="Files of the workspace.")
    here: int = Field(ge=0, description="Files of this machine's cache.")
    elsewhere: tuple[str, ...] = Field(description="What must be removed by hand.")
    record: str | None = Field(default=None, description="Path of the record, once it is done.")


@dataclass(frozen=True)
class _Work:
    plan: ForgetPlan
    subject: Subject
    contents: dict[str, bytes | None]
    replaced: dict[str, str]


def plan_forget(workspace: Workspace, settings: ForgetSettings, cache_root: Path) -> ForgetPlan:
    """Say what would be forgotten; nothing is changed.

    Raises:
        WorkspaceError: the workspace does not answer, or nothing of the images stands in it.
    """
    return _worked_out(workspace, settings, cache_root).plan


def forget(
    workspace: Workspace, settings: ForgetSettings, cache_root: Path, progress: Progress = silent
) -> ForgetPlan:
    """Forget, and keep a record without names. Killed at any point, the same command goes on.

    What was to go is remembered first, under pseudonyms: a later run, or one after a backup was put back, finds what is
    left by them, and `ingest` takes no forgotten image again.

    Raises:
        WorkspaceError: as `plan_forget`; or a file still names an image afterwards.
    """
    work = _worked_out(workspace, settings, cache_root)
    forgotten = Forgotten(workspace)
    groups: tuple[str, ...] = ()
    if settings.group is not None and settings.name is not None:
        groups = (forgotten.group_token(settings.name, PatientKeys(workspace).of(settings.group)),)
    record = ErasureRecord(
        time=datetime.now(UTC),
        state="begun",
        by=settings.by,
        reason=settings.reason,
        contents=tuple(sorted(map(forgotten.token, work.plan.sha256s))),
        groups=groups,
        replaced=work.replaced,
        files=dict(Counter(trace.kind for trace in work.plan.traces)),
        elsewhere=work.plan.elsewhere,
    )
    forgotten.remember(record)
    forget_here(cache_root, work.plan.sha256s)
    for done, trace in enumerate(work.plan.traces, start=1):
        _apply(workspace, trace, work)
        progress(done, len(work.plan.traces), "files")
    left = _left(workspace, work.subject)
    if left:
        raise WorkspaceError(
            f"{len(left)} files of {workspace.url} name a forgotten image still or again, {left[0]} for one",
            cure="a run may be at work: wait until it has ended, and run the same command again",
        )
    path = forgotten.remember(record.model_copy(update={"state": "done", "time": datetime.now(UTC)}))
    return work.plan.model_copy(update={"record": path})


def _worked_out(workspace: Workspace, settings: ForgetSettings, cache_root: Path) -> _Work:
    traces = traces_of(workspace)
    wanted = set(settings.sha256) | forgotten_before(workspace, traces)
    if settings.group is not None and settings.name is not None:
        wanted |= contents_of_group(workspace, traces, settings.name, settings.group)
    sha256s = traces.with_equal_pixels(wanted)
    here = held_here(cache_root, sha256s)
    if not here and not sha256s & traces.digests:
        raise WorkspaceError(
            f"{workspace.url} and this machine's cache hold no trace of such an image",
            cure="check the digest, or the data set's name and the group as its manifest spells it",
        )
    subject = _subject(Forgotten(workspace), traces, sha256s)
    contents, replaced = _contents(workspace, traces.files, subject)
    changed = [
        Trace(path=path, kind=place_of(path).kind, fate="removed" if data is None else "changed")
        for path, data in contents.items()
    ]
    ledgers = [
        Trace(path=path, kind=_BY_RULE, fate="changed")
        for path in _ledgers_with(workspace, traces.files, sha256s)
    ]
    learnt = sorted({version for sha256 in sha256s for version in traces.learnt.get(sha256, ())})
    near = {copy for sha256 in sha256s for copy in traces.near.get(sha256, ())} - sha256s
    paths = sorted({path for sha256 in sha256s for path in traces.paths.get(sha256, ())})
    plan = ForgetPlan(
        sha256s=tuple(sorted(sha256s)),
        store_paths=tuple(paths),
        near_copies=tuple(sorted(near)),
        learnt=tuple(learnt),
        traces=tuple(changed + ledgers),
        here=len(here),
        elsewhere=elsewhere(workspace, traces.files, learnt),
    )
    return _Work(plan, subject, contents, replaced)


def _subject(forgotten: Forgotten, traces: Traces, sha256s: frozenset[str]) -> Subject:
    pixels = {traces.pixels[sha256] for sha256 in sha256s if traces.pixels.get(sha256)}
    digests = {found: forgotten.token(found) for found in sha256s | pixels}
    return Subject(digests, traces.own_paths(sha256s), forgotten.replaced)


def _contents(
    workspace: Workspace, files: Iterable[str], subject: Subject
) -> tuple[dict[str, bytes | None], dict[str, str]]:
    """What each file that is to change will hold (None: it goes), and the digests of files before and after.

    A file that refers to another one by its digest changes with it, and so on: references go round in no circle.
    """
    contents: dict[str, bytes | None] = {}
    replaced: dict[str, str] = {}
    searched = [path for path in files if _is_searched(path)]
    looked_for = subject
    while looked_for.digests or looked_for.files:
        again: dict[str, str] = {}
        for path in searched:
            original = workspace.read(path)
            before = contents.get(path, original)
            if before is None:
                continue
            after = without(path, place_of(path).kind, before, looked_for)
            if after == before:
                continue
            contents[path] = after
            if after is not None:
                again[digest(before)] = digest(after)
                replaced[digest(original)] = digest(after)
        replaced.update(again)
        looked_for = replace(subject, digests={}, paths=frozenset(), files=again)
    return contents, replaced


def _is_searched(path: str) -> bool:
    kind = place_of(path).kind
    return kind not in (_BY_RULE, "erasures", "pseudonym key") and PurePosixPath(path).suffix not in UNREAD


def _apply(workspace: Workspace, trace: Trace, work: _Work) -> None:
    if trace.kind == _BY_RULE:
        _shrink_ledger(workspace, trace.path, frozenset(work.plan.sha256s))
        return
    data = work.contents[trace.path]
    if data is None:
        workspace.delete(trace.path)
        return
    if trace.kind == "image cache":
        _blank(workspace, trace.path, work.subject)
    workspace.write(trace.path, data)


def _blank(workspace: Workspace, listed: str, subject: Subject) -> None:
    """Make the pictures of a shard black whose contents its list names; the list itself is written after."""
    names: list[str] = json.loads(workspace.read(listed))["sha256"]
    rows = [row for row, name in enumerate(names) if name in subject.digests]
    path = listed.removesuffix(".json") + ".npy"
    pixels = np.load(io.BytesIO(workspace.read(path)), allow_pickle=False)
    pixels[rows] = 0
    written = io.BytesIO()
    np.save(written, pixels)
    workspace.write(path, written.getvalue())


def _ledgers_with(workspace: Workspace, files: Iterable[str], sha256s: frozenset[str]) -> Iterator[str]:
    """Versions of fold ledgers that name an image."""
    for path in files:
        if FOLD_LEDGER.fields(path):
            data = workspace.read(path)
            if any(sha256.encode() in data for sha256 in sha256s):
                yield path


def _shrink_ledger(workspace: Workspace, path: str, sha256s: frozenset[str]) -> None:
    """Begin a version without the images where the newest names them; older versions that do so go."""
    fields = FOLD_LEDGER.fields(path)
    if fields is None:
        return
    keys = PatientKeys(workspace)

    def shrunk(content: bytes | None) -> bytes:
        ledger = FoldLedger.parse(content or b"", keys)
        stay = {sha256: entry for sha256, entry in ledger.entries.items() if sha256 not in sha256s}
        return replace(ledger, entries=stay).to_bytes()

    document = VersionedDocument(workspace, FOLD_LEDGER.folder(name=fields["name"]))
    document.update(shrunk)
    workspace.delete(path)


def _left(workspace: Workspace, subject: Subject) -> list[str]:
    """Files that name an image after all."""
    named = Subject(subject.digests, subject.paths)
    return [
        path
        for path in workspace.list()
        if PurePosixPath(path).suffix not in UNREAD and _names(workspace, path, named)
    ]


def _names(workspace: Workspace, path: str, subject: Subject) -> bool:
    data = workspace.read(path)
    try:
        return without(path, place_of(path).kind, data, subject) != data
    except (ValueError, pa.ArrowException):
        return True
