"""The fold ledger: every group of copies gets a fold once, stratified by label, and keeps it as data grows.

Nothing here looks at file names or row order; ties are broken by digests, so equal content gets equal
folds.
"""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.copies.content import Content
from tasks.copies.duplicates import group_by_pairs, pairs_by_key
from tasks.data.patient_keys import PatientKeys
from tasks.errors import ConfigError, WorkspaceError
from tasks.stores.layout import PSEUDONYM_KEY

LEDGER_SCHEMA_VERSION: Final = 2
"""Schema 1, which is read too, had plain digests of group keys; these are keyed."""
_COLUMNS: Final = ("sha256", "pixel_sha256", "dhash", "keys", "group", "fold")


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What is remembered of a content for ever, so that a later copy of it is recognised even when it is gone."""

    pixel_sha256: str
    dhash: str
    keys: tuple[str, ...]
    group: str
    fold: int


@dataclass(frozen=True)
class FoldLedger:
    """Content digest → group and fold. Append-only in meaning: folds never change, groups only ever merge."""

    n_folds: int
    entries: Mapping[str, LedgerEntry] = field(default_factory=dict)
    key_id: str | None = None

    def keyed_by(self, keys: PatientKeys) -> "FoldLedger":
        """The same ledger, which takes group keys under this key only.

        Raises:
            WorkspaceError: its group keys are under another one, so that no patient would be known again.
        """
        if self.key_id not in (None, keys.id):
            raise WorkspaceError(
                f"the fold ledger's group keys were made with key {self.key_id}, the workspace has {keys.id}",
                cure=f"put {PSEUDONYM_KEY.path()} back from the backup of the workspace: with another key a patient's "
                "images would be learnt from and reported on",
            )
        return replace(self, key_id=keys.id)

    def absent(self, present: Iterable[str]) -> list[Content]:
        """Contents of earlier runs that are not among the digests `present`, by digest."""
        gone = sorted(self.entries.keys() - set(present))
        return [
            Content(sha256, entry.pixel_sha256, entry.dhash, entry.keys)
            for sha256, entry in ((sha256, self.entries[sha256]) for sha256 in gone)
        ]

    def to_bytes(self) -> bytes:
        """Compact JSON; equal ledgers give equal bytes."""
        head = {
            "schema_version": LEDGER_SCHEMA_VERSION,
            "n_folds": self.n_folds,
            "key_id": self.key_id,
            "columns": _COLUMNS,
        }
        data = io.BytesIO()
        data.write(_compact(head)[:-1] + b',"images":[')
        for i, (sha256, entry) in enumerate(sorted(self.entries.items())):
            row = [sha256, entry.pixel_sha256, entry.dhash, entry.keys, entry.group, entry.fold]
            data.write((b"," if i else b"") + _compact(row))
        data.write(b"]}")
        return data.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes | None, n_folds: int, keys: PatientKeys) -> "FoldLedger":
        """Read what `to_bytes` wrote; None gives an empty ledger of `n_folds`.

        Raises:
            ConfigError: the ledger was begun with another number of folds.
            WorkspaceError: the bytes are no ledger, or its group keys are under another key.
        """
        if data is None:
            return cls(n_folds)
        ledger = cls.parse(data, keys)
        if ledger.n_folds != n_folds:
            raise ConfigError(
                f"n_folds={n_folds}, but this data set's fold ledger was begun with {ledger.n_folds} folds",
                cure=f"keep n_folds={ledger.n_folds} (--folds {ledger.n_folds}), or give the data set another name, "
                "which begins a new ledger",
            )
        return ledger

    @classmethod
    def parse(cls, data: bytes, keys: PatientKeys) -> "FoldLedger":
        """Read what `to_bytes` wrote, whatever its number of folds; group keys of schema 1 are keyed.

        Raises:
            WorkspaceError: the bytes are no ledger, or its group keys are under another key.
        """
        try:
            document: Any = json.loads(data)
            version = document["schema_version"]
            if version not in (1, LEDGER_SCHEMA_VERSION) or tuple(document["columns"]) != _COLUMNS:
                raise WorkspaceError(
                    f"the fold ledger has schema {version}, this version reads 1 and {LEDGER_SCHEMA_VERSION}",
                    cure="use the version of Lightbox that wrote it, or a newer one",
                )
            n_folds = int(document["n_folds"])
            key_id: str | None = document.get("key_id")
            entries = {
                str(sha256): LedgerEntry(str(pixels), str(dhash), tuple(given), str(group), int(fold))
                for sha256, pixels, dhash, given, group, fold in document["images"]
            }
            if not all(0 <= entry.fold < n_folds for entry in entries.values()):
                raise ValueError(f"a fold outside 0..{n_folds - 1}")
        except (ValueError, KeyError, TypeError) as error:
            raise WorkspaceError(
                f"the fold ledger is damaged: {type(error).__name__}: {error}",
                cure="restore an earlier version of it; without it, earlier models' images cannot be told apart",
            ) from error
        has_keys = any(entry.keys for entry in entries.values())
        if version == 1 and has_keys:
            entries = {
                sha256: replace(entry, keys=tuple(sorted(map(keys.of_digest, entry.keys))))
                for sha256, entry in entries.items()
            }
        ledger = cls(n_folds, entries, key_id)
        return ledger.keyed_by(keys) if has_keys or key_id is not None else ledger


@dataclass(frozen=True)
class FoldAssignment:
    """Group and fold of each content, in the order given, and the ledger to keep.

    `folds` is int64 (n,). `straddles[i]` holds the folds that content i's group touches when it touches
    several, or the folds of it and its likely copies, be it one, else nothing: such content may be learnt from
    only by who holds out none of these folds, and is never reported on.
    """

    groups: tuple[str, ...]
    folds: NDArray[np.int64]
    straddles: tuple[tuple[int, ...], ...]
    ledger: FoldLedger


def assign_folds(
    contents: Sequence[Content],
    near_pairs: NDArray[np.int64],
    ledger: FoldLedger,
    asked: NDArray[np.int64] | None = None,
) -> FoldAssignment:
    """Join contents into groups, and give each group a fold.

    `contents` are distinct; include `ledger.absent(...)` so that copies of what is gone are found.
    `near_pairs` is int64 (m, 2) of indices into `contents`. Joined are: near pairs, equal pixels, equal
    keys, and what the ledger joined before. `asked` int64 (k, 2) are likely copies that a person must judge: they are
    not joined, but both sides, with the copies of each, straddle the folds of both.

    - Content in the ledger keeps its fold. New content of a group that is in the ledger takes the group's
      fold; when the group touches several folds, all of it straddles them.
    - With a given split, test content stands in fold 0, with its whole group; other new groups go to the
      folds from 1. Test content joined to what stood in another fold straddles.
    - Every other new group, the largest first, goes to the fold that lacks most of its labels, then to the
      one with the least share of them, then to the smallest, then by digest. So a label with at least as
      many groups as folds is in every fold, as long as groups have one label each.
    """
    groups = _joined_groups(contents, near_pairs, ledger)
    has_split = any(content.split is not None for content in contents)
    balance = _Balance(ledger.n_folds, first_fold=1 if has_split else 0)
    names: dict[int, str] = {}
    folds = np.full(len(contents), -1, dtype=np.int64)
    straddles: dict[int, tuple[int, ...]] = {}
    pending: list[tuple[int, str, list[int]]] = []
    for members in groups:
        entries = [
            ledger.entries[contents[i].sha256] for i in members if contents[i].sha256 in ledger.entries
        ]
        name = min((entry.group for entry in entries), default="") or _new_name(contents, members)
        touched = {entry.fold for entry in entries}
        if any(contents[i].split == "test" for i in members):
            touched.add(0)
        for i in members:
            names[i] = name
            straddles[i] = tuple(sorted(touched)) if len(touched) > 1 else ()
            folds[i] = _settled_fold(contents[i], touched, ledger)
        if not touched:
            pending.append((-len(members), _digest(name), members))
        elif len(touched) == 1:
            balance.add(_labels(contents, members), min(touched))
    for _, _, members in sorted(pending):
        labels = _labels(contents, members)
        fold = balance.best_fold(labels, names[members[0]])
        balance.add(labels, fold)
        folds[members] = fold
    group_names = tuple(names[i] for i in range(len(contents)))
    for i, others in _folds_of_likely_copies(contents, near_pairs, asked, group_names, folds).items():
        straddles[i] = tuple(sorted({*straddles[i], *others}))
    return FoldAssignment(
        group_names,
        folds,
        tuple(straddles[i] for i in range(len(contents))),
        _extended(ledger, contents, group_names, folds),
    )


class _Balance:
    """How many contents of each label every fold holds."""

    def __init__(self, n_folds: int, first_fold: int) -> None:
        self._by_fold: list[Counter[str]] = [Counter() for _ in range(n_folds)]
        self._sizes = [0] * n_folds
        self._candidates = range(first_fold, n_folds)

    def add(self, labels: Counter[str], fold: int) -> None:
        self._by_fold[fold].update(labels)
        self._sizes[fold] += labels.total()

    def best_fold(self, labels: Counter[str], name: str) -> int:
        total = {label: sum(self._by_fold[fold][label] for fold in self._candidates) for label in labels}

        def badness(fold: int) -> tuple[int, float, int]:
            held = self._by_fold[fold]
            lacking = sum(1 for label in labels if held[label] == 0)
            share = sum(held[label] / (total[label] or 1) for label in labels)
            return -lacking, share, self._sizes[fold]

        found = [badness(fold) for fold in self._candidates]
        best = [fold for fold, bad in zip(self._candidates, found, strict=True) if bad == min(found)]
        return min(best, key=lambda fold: _digest(f"{name}\0{fold}"))


def _joined_groups(
    contents: Sequence[Content], near_pairs: NDArray[np.int64], ledger: FoldLedger
) -> list[list[int]]:
    """Indices of each group's members, in the order of their digests."""
    keys = [
        [
            f"pixels {content.pixel_sha256}",
            *(f"key {key}" for key in content.keys),
            *([f"ledger {ledger.entries[content.sha256].group}"] if content.sha256 in ledger.entries else []),
        ]
        for content in contents
    ]
    components = group_by_pairs(len(contents), near_pairs, pairs_by_key(keys))
    members: dict[int, list[int]] = {}
    for i in sorted(range(len(contents)), key=lambda i: contents[i].sha256):
        members.setdefault(int(components[i]), []).append(i)
    return list(members.values())


def _folds_of_likely_copies(
    contents: Sequence[Content],
    near_pairs: NDArray[np.int64],
    asked: NDArray[np.int64] | None,
    groups: Sequence[str],
    folds: NDArray[np.int64],
) -> dict[int, set[int]]:
    """The folds that each content in question touches with its own copies and with its likely ones."""
    if asked is None or not len(asked):
        return {}
    by_pixels = pairs_by_key([(content.pixel_sha256,) for content in contents])
    picture = group_by_pairs(len(contents), near_pairs, by_pixels)
    touched: dict[int, set[int]] = {}
    for one, other in asked.tolist():
        if groups[one] != groups[other]:
            rows = np.flatnonzero((picture == picture[one]) | (picture == picture[other])).tolist()
            for row in rows:
                touched.setdefault(row, set()).update(folds[rows].tolist())
    return touched


def _settled_fold(content: Content, touched: set[int], ledger: FoldLedger) -> int:
    """The fold that a content has before any balancing; -1 when its group is free to go anywhere."""
    if content.sha256 in ledger.entries:
        return ledger.entries[content.sha256].fold
    if content.split == "test":
        return 0
    return min(touched, default=-1)


def _labels(contents: Sequence[Content], members: Sequence[int]) -> Counter[str]:
    return Counter(label for i in members if (label := contents[i].label) is not None)


def _new_name(contents: Sequence[Content], members: Sequence[int]) -> str:
    return f"g{_digest(contents[members[0]].sha256)[:16]}"


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _extended(
    ledger: FoldLedger, contents: Sequence[Content], groups: Sequence[str], folds: NDArray[np.int64]
) -> FoldLedger:
    entries = dict(ledger.entries)
    for content, group, fold in zip(contents, groups, folds.tolist(), strict=True):
        old = entries.get(content.sha256)
        keys = set(content.keys) | set(old.keys if old else ())
        entries[content.sha256] = LedgerEntry(
            content.pixel_sha256, content.dhash, tuple(sorted(keys)), group, fold
        )
    return replace(ledger, entries=entries)
