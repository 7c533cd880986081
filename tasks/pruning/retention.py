"""What of a workspace is still needed: a pure rule over its listing and what its documents say.

Removed is only what this module knows and can tell to be unneeded. Everything else stays: labels, the newest
fold ledger, the scale that copies are told by, numbers of versions, whatever another program put there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final

from pydantic import Field

from tasks.models.registry import manifest_path
from tasks.pruning.expiry import ExpiredLog
from tasks.record import Frozen
from tasks.stores.files import Blob
from tasks.stores.layout import (
    KINDS,
    ROWS_DIGITS,
    RUN_FILE,
    Kind,
    is_bulky,
    is_catalogue_table,
    place_of,
    run_of_use,
    turn,
)

DOCUMENT_VERSIONS: Final = 10
"""Newest versions of an alias document or a fold ledger that stay; readers take the newest alone."""


class Item(Frozen):
    """Files that stay or go together."""

    kind: Kind = Field(description="What it is.")
    item: str = Field(description="Its path, or what its paths begin with.")
    paths: tuple[str, ...] = Field(description="Files, in the order in which they go.")
    size_bytes: int = Field(ge=0, description="Together.")
    reason: str = Field(description="Why it stays or goes.")


class PrunePlan(Frozen):
    """What goes and what stays."""

    removed: tuple[Item, ...] = Field(description="In the order in which it goes.")
    kept: tuple[Item, ...] = Field(description="What this command could remove, and why it does not.")
    expired: ExpiredLog = Field(default=ExpiredLog(), description="What of the endpoint's log is too old.")


@dataclass(frozen=True)
class RunNeeds:
    """What a run stands on: paths below the workspace."""

    name: str
    files: frozenset[str] = frozenset()
    entries: frozenset[str] = frozenset()
    image_folders: frozenset[str] = frozenset()


@dataclass(frozen=True)
class EntryFacts:
    """A kept stage result: whose it is, and the files that it refers to."""

    name: str
    files: frozenset[str]


@dataclass(frozen=True)
class WorkspaceFacts:
    """A workspace's listing, and what its documents say.

    `versions` maps (model, version) to the digest of its data set; `titles` maps (model, version) to the reason
    why it must stay; `contents` gives the content digests that a catalogue, a shard's list or an embedding file
    holds; `remembered` are the contents of all fold ledgers.
    """

    files: Sequence[Blob]
    contents: Callable[[str], Set[str]]
    runs: Mapping[str, RunNeeds] = field(default_factory=dict)
    entries: Mapping[str, EntryFacts] = field(default_factory=dict)
    versions: Mapping[tuple[str, str], str] = field(default_factory=dict)
    titles: Mapping[tuple[str, str], str] = field(default_factory=dict)
    remembered: frozenset[str] = frozenset()


def plan_pruning(
    facts: WorkspaceFacts, *, name: str | None, keep: int, now_seconds: float, min_age_seconds: float
) -> PrunePlan:
    """Say what goes and what stays when `keep` runs and versions of a data set (None: of each) are to stay.

    - Versions: those with a title (an alias, what a rollback reaches, the champion's opponent) and the last
      `keep`.
    - Runs: the last `keep` whole, with every file that they took from earlier runs; the run of a kept version
      keeps its report, figures and predictions.
    - Stage results of kept runs; catalogues of kept runs and versions; the last `keep` listings.
    - Decoded images that a kept run uses and a kept catalogue names; embeddings and inspections of what a
      catalogue or a fold ledger names (late copies of vanished images are found by them).
    - The last `keep` sets of pairs of copies, by rule, and choices of searches: the next run begins with the newest.
    - Anything written within `min_age_seconds`, or at an unknown time: a run may be at work on it.
    """
    return _Pruning(facts, name, keep, now_seconds - min_age_seconds).plan()


class _Pruning:
    def __init__(self, facts: WorkspaceFacts, name: str | None, keep: int, young_since: float) -> None:
        self._facts, self._name, self._keep = facts, name, keep
        self._items: dict[tuple[Kind, str], list[Blob]] = {}
        self._named: dict[tuple[Kind, str], tuple[str, str]] = {}
        for blob in facts.files:
            place = place_of(blob.path)
            self._items.setdefault((place.kind, place.item), []).append(blob)
            self._named[place.kind, place.item] = (place.name, place.part)
        self._young = {
            key
            for key, blobs in self._items.items()
            if any(blob.modified_seconds is None or blob.modified_seconds > young_since for blob in blobs)
        }
        self._removed: list[Item] = []
        self._kept: list[Item] = []
        self._gone: set[str] = set()
        self._last_runs: set[str] = set()

    def plan(self) -> PrunePlan:
        runs = self._whole_runs()
        versions = self._versions(runs)
        self._runs(runs, versions)
        self._catalogues(versions, runs)
        self._newest("listings", self._keep, self._modified)
        self._newest("copy pairs", self._keep, self._modified)
        self._newest("search choices", self._keep)
        self._newest("fold ledger", DOCUMENT_VERSIONS)
        self._newest("aliases", DOCUMENT_VERSIONS)
        self._notices()
        self._by_content(runs)
        self._entries(runs)  # last, since it asks what is gone; they are deleted first
        for key in self._of("leftovers"):
            self._settle(key, None if key not in self._young else "a writer may be at work on it")
        order = {kind: place for place, kind in enumerate(KINDS)}
        removed = sorted(self._removed, key=lambda item: (order[item.kind], item.item))
        return PrunePlan(removed=tuple(removed), kept=tuple(self._kept))

    def _of(self, kind: Kind) -> Iterator[tuple[Kind, str]]:
        return (key for key in sorted(self._items) if key[0] == kind)

    def _concerns(self, name: str) -> bool:
        return self._name is None or name == self._name

    def _settle(
        self, key: tuple[Kind, str], reason: str | None, why: str = "nothing that stays needs it"
    ) -> None:
        """Keep an item for a reason; without one it goes."""
        if reason is not None:
            self._kept.append(_item(key, self._items[key], reason))
        else:
            self._remove(key, self._items[key], why)

    def _remove(self, key: tuple[Kind, str], blobs: Iterable[Blob], why: str) -> None:
        item = _item(key, blobs, why)
        self._removed.append(item)
        self._gone.update(item.paths)

    def _whole_runs(self) -> dict[str, RunNeeds]:
        """The runs that stay whole: the last ones, those at work, those of other data sets."""
        by_name: dict[str, list[str]] = {}
        for run, needs in sorted(self._facts.runs.items()):
            by_name.setdefault(needs.name, []).append(run)
        self._last_runs = {run for found in by_name.values() for run in found[-self._keep :]}
        return {
            run: needs
            for run, needs in self._facts.runs.items()
            if run in self._last_runs
            or ("runs", RUN_FILE.folder(run=run)) in self._young
            or not self._concerns(needs.name)
        }

    def _versions(self, runs: Mapping[str, RunNeeds]) -> set[tuple[str, str]]:
        """Settle the versions; those that stay."""
        needed = _all_files(runs)
        known: dict[str, list[str]] = {}
        for model, version in self._facts.versions:
            known.setdefault(model, []).append(version)
        last = {
            (model, version)
            for model, found in known.items()
            for version in sorted(found, key=lambda version: int(version[1:]))[-self._keep :]
        }
        stay: set[tuple[str, str]] = set()
        for key in self._of("models"):
            named = self._named[key]
            reason = self._facts.titles.get(named)
            if not self._concerns(named[0]):
                reason = "of another model"
            elif reason is None and named in last:
                reason = f"one of the last {self._keep} versions"
            elif reason is None and needed & {blob.path for blob in self._items[key]}:
                reason = "a kept run made it"
            elif reason is None and key in self._young:
                reason = "new"
            self._settle(key, reason, "no alias, rollback or comparison needs this version")
            if reason is not None:
                stay.add(named)
        return stay

    def _runs(self, whole: Mapping[str, RunNeeds], versions: set[tuple[str, str]]) -> None:
        needed = _all_files(whole)
        bundles = {manifest_path(model, version) for model, version in versions}
        for key in self._of("runs"):
            run = self._named[key][1]
            if run not in self._facts.runs:
                self._settle(key, "it does not say whose it is")
            elif run in whole:
                last = f"one of the last {self._keep} runs"
                self._settle(key, last if run in self._last_runs else "new, or of another data set")
            else:
                made = bool(self._facts.runs[run].files & bundles)
                self._thin_out(key, needed, made_a_kept_version=made)

    def _thin_out(self, key: tuple[Kind, str], needed: frozenset[str], *, made_a_kept_version: bool) -> None:
        """Of an old run, keep what a later one stands on, and the report and figures of a version that stays."""
        blobs = self._items[key]
        staying = {
            blob.path
            for blob in blobs
            if blob.path in needed or (made_a_kept_version and not is_bulky(blob.path))
        }
        if staying:  # as long as something is left, the run goes on telling whose it is
            staying |= {blob.path for blob in blobs if run_of_use(blob.path)}
            reason = "report and figures of a kept version" if made_a_kept_version else "later runs use it"
            self._kept.append(_item(key, [blob for blob in blobs if blob.path in staying], reason))
        going = [blob for blob in blobs if blob.path not in staying]
        if going:
            self._remove(key, going, "of an old run, not needed any more" if staying else "the run is old")

    def _entries(self, runs: Mapping[str, RunNeeds]) -> None:
        used = frozenset().union(*(needs.entries for needs in runs.values()))
        present = {blob.path for blob in self._facts.files}
        for key in self._of("stage results"):
            entry = self._facts.entries.get(key[1])
            reason = None
            if entry is None or not self._concerns(entry.name):
                reason = "of another data set, or it does not say whose it is"
            elif key[1] in used:
                reason = "a kept run stands on it"
            elif key in self._young:
                reason = "new"
            elif entry.files and entry.files <= present - self._gone:
                reason = "all that it refers to is kept"
            self._settle(key, reason)

    def _catalogues(self, versions: set[tuple[str, str]], runs: Mapping[str, RunNeeds]) -> None:
        digests = {
            (model, self._facts.versions.get((model, version), "")[:ROWS_DIGITS])
            for model, version in versions
        }
        needed = _all_files(runs)
        for key in self._of("catalogues"):
            reason = None
            if not self._concerns(self._named[key][0]):
                reason = "of another data set"
            elif self._named[key] in digests:
                reason = "a kept version was made from it"
            elif any(blob.path in needed for blob in self._items[key]):
                reason = "a kept run stands on it"
            elif key in self._young:
                reason = "new"
            self._settle(key, reason)

    def _modified(self, key: tuple[Kind, str]) -> float:
        return self._items[key][0].modified_seconds or 0.0

    def _newest(
        self, kind: Kind, count: int, age: Callable[[tuple[Kind, str]], float | str] = itemgetter(1)
    ) -> None:
        """Keep the newest of each data set: by their names, which are numbers or begin with a time, or by `age`."""
        found: dict[str, list[tuple[Kind, str]]] = {}
        for key in self._of(kind):
            found.setdefault(self._named[key][0], []).append(key)
        for name, keys in found.items():
            keys.sort(key=age)
            for place, key in enumerate(keys, 1):
                reason = None
                if not self._concerns(name):
                    reason = "of another data set"
                elif place > len(keys) - count:
                    reason = f"one of the newest {count}"
                elif key in self._young:
                    reason = "new"
                self._settle(key, reason, "newer ones stand in its place")

    def _notices(self) -> None:
        for key in self._of("notices"):
            known = self._concerns(self._named[key][0])
            reason = self._new(key) if known else "of another data set"
            self._settle(key, reason, "only a retry of its run would ask for it")

    def _by_content(self, runs: Mapping[str, RunNeeds]) -> None:
        folders = frozenset().union(*(needs.image_folders for needs in runs.values()))
        catalogues = [
            blob.path
            for key in self._of("catalogues")
            for blob in self._items[key]
            if is_catalogue_table(blob.path) and blob.path not in self._gone
        ]
        named: set[str] = set()
        for path in catalogues:
            named |= self._facts.contents(path)
        for key in self._of("image cache"):
            paths = [blob.path for blob in self._items[key]]
            lists = [path for path in paths if path.endswith(".json")]
            used = self._named[key][1] in folders and any(
                self._facts.contents(path) & named for path in lists
            )
            self._settle(key, "images of a kept catalogue" if used else self._new(key))
        for key in (*self._of("embeddings"), *self._of("inspections")):
            used = bool(self._facts.contents(key[1]) & (named | self._facts.remembered))
            self._settle(key, "images of a catalogue or a fold ledger" if used else self._new(key))

    def _new(self, key: tuple[Kind, str]) -> str | None:
        return "new" if key in self._young else None


def _all_files(runs: Mapping[str, RunNeeds]) -> frozenset[str]:
    return frozenset().union(*(needs.files for needs in runs.values()))


def _item(key: tuple[Kind, str], blobs: Iterable[Blob], reason: str) -> Item:
    ordered = sorted(blobs, key=lambda blob: (turn(blob.path), blob.path))
    return Item(
        kind=key[0],
        item=key[1],
        paths=tuple(blob.path for blob in ordered),
        size_bytes=sum(blob.size_bytes for blob in ordered),
        reason=reason,
    )
