"""Planted: what the demo has wrong on purpose, and how much of it a run found."""

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from tasks.demo.plan import EntryKind
from tasks.demo.settings import RECORD_FILE
from tasks.record import Frozen

_FAULTS: Final[Mapping[EntryKind, str]] = {
    "corrupt": "truncated file, turned away",
    "exact_copy": "exact copies, kept on the same side as their originals",
    "near_copy": "near copies (shifted, rescaled, annotated), kept on the same side as their originals",
    "wrong_label": "wrong labels, listed as doubtful",
}


class Planted(Frozen):
    """One kind of fault."""

    words: str = Field(description="What it is, and what becomes of it.")
    planted: int = Field(ge=0, description="Files that have it.")
    found: int = Field(ge=0, description="Of these, files that the run found.")


def planted_and_found(
    folder: Path, groups: Mapping[str, str], doubtful: Collection[str]
) -> tuple[Planted, ...]:
    """Compare the demo's own record with a run's outcome.

    `groups` has the group of each image that was reported on, `doubtful` those whose label is suspect; by path below
    the folder of images.
    """
    record = json.loads((folder / RECORD_FILE).read_bytes())
    return tuple(
        Planted(
            words=words, planted=len(of_kind), found=sum(_is_found(row, groups, doubtful) for row in of_kind)
        )
        for kind, words in _FAULTS.items()
        if (of_kind := list(_of_kind(record["images"], kind)))
    )


def _of_kind(rows: Iterable[dict[str, Any]], kind: EntryKind) -> Iterable[dict[str, Any]]:
    return (row for row in rows if row["kind"] == kind)


def _is_found(row: Mapping[str, Any], groups: Mapping[str, str], doubtful: Collection[str]) -> bool:
    path, source = row["path"], row["source"]
    if row["kind"] == "corrupt":
        return path not in groups
    if row["kind"] == "wrong_label":
        return path in doubtful
    return path in groups and groups[path] == groups.get(source)
