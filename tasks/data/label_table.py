"""Manifests: a table that says which file of the store carries which label.

Read here: CSV, Parquet, JSON lines and JSON, and the JSON lines of Azure AutoML, whose `image_url` is an address of the
image; told apart by content, not by name.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tasks.data.addresses import StorePaths, plain_address, without_query
from tasks.data.manifest_file import manifest_bytes
from tasks.data.missing_texts import cell_text, is_missing_text
from tasks.data.settings import LabelReading
from tasks.data.spelling import counted, join_spellings
from tasks.data.table_columns import GroupColumns, named_column
from tasks.data.table_records import Row, by_column, table_records
from tasks.errors import ManifestMismatch
from tasks.stores.datastore import Blob, Datastore

Split = Literal["train", "test"]

_SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "train",
    "valid": "train",
    "validation": "train",
    "test": "test",
    "testing": "test",
    "test+train": "test",
    "train+test": "test",
}
_NAMED = 5
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_ANYTHING = LabelReading()


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """What a manifest says of one file.

    `in_both` is content that stands in training and test: it counts as test. `sha256` is lower case.
    `label_named` is False where the manifest has no label column, which leaves the label to the folders.
    `subgroups` are the values of the columns that were asked for, in their order.
    """

    path: str
    label: str | None
    group: str | None
    split: Split | None
    in_both: bool = False
    sha256: str | None = None
    label_named: bool = True
    subgroups: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class LabelTable:
    """Rows by the store's paths, the manifest's own path if it stands in the store, and what a person should know."""

    rows: dict[str, ManifestRow]
    own_path: str | None
    told: tuple[str, ...]


def read_manifest(
    store: Datastore, blobs: Sequence[Blob], manifest: str, reading: LabelReading = _ANYTHING
) -> LabelTable:
    """Read a manifest that is a URL, a local file, or a path within the store.

    Columns: `path` (below the store) or `image_url`, `label`, and optionally `group` (a patient, say), `split`
    (train or test; validation counts as train, content in both as test) and `sha256` of the file's bytes. The split
    may have any name that ends in `split`; the group any that is called like a patient, a subject, a case, a study or
    a lesion (`GroupColumns`); `reading` may name any column. Where a split or a group is named, the label column may
    be left out: the folders say it then. Further columns are left alone. An empty label is none, and so is a text by
    which programs say that there is no value. Labels that differ only in how they are written are one. A row given
    twice with the same content counts once. Names are compared as they are and in Unicode's composed form.

    Raises:
        ManifestMismatch: unreadable; a column is missing, or several could be the split; paths are not in the
            store, or come twice and differ; an unknown split. The first few paths and the counts are named.
    """
    data, own_path = manifest_bytes(store, blobs, manifest)
    table = _Table(manifest, reading)
    for number, record in table_records(data, manifest):
        table.add(record, number)
    rows, told = table.finished()
    if not rows:
        raise ManifestMismatch(
            f"{manifest} has no rows", cure="give a row with path and label for each image"
        )
    fitted = _fit(rows, [blob for blob in blobs if blob.path != own_path], store, manifest)
    return LabelTable(fitted, own_path, tuple(told))


class _Table:
    """The rows of one manifest, as they come."""

    def __init__(self, manifest: str, reading: LabelReading) -> None:
        self._manifest, self._reading = manifest, reading
        self._rows: list[ManifestRow] = []
        self._groups: GroupColumns | None = None
        self._missing: Counter[str] = Counter()
        self._kept = {text.strip().casefold() for text in reading.keep_labels}

    def add(self, record: Row, number: int) -> None:
        """Take one row.

        Raises: ManifestMismatch.
        """
        where = f"{self._manifest}, row {number}"
        fields = by_column(record, where)
        path_column = self._column(fields, self._reading.path_column, "--path-column", where)
        path_column = path_column or next((name for name in ("path", "image_url") if name in fields), None)
        label_column = self._column(fields, self._reading.label_column, "--label-column", where)
        if self._reading.label_column is None and "label" in fields:
            label_column = "label"
        split_column = self._split_column(fields, where)
        group_column = self._column(fields, self._reading.group_column, "--group-column", where)
        if self._reading.group_column is None:
            group_column = "group" if "group" in fields else None
            if group_column is None:
                self._watch(fields, {path_column, label_column, split_column})
        if path_column is None or not (label_column or split_column or group_column or self._groups):
            raise _no_column(fields, path_column, where)
        path = cell_text(fields[path_column])
        if path is None:
            raise ManifestMismatch(f"{where}: the path is empty", cure="fill it or drop the row")
        split = (cell_text(fields[split_column]) or "").lower() if split_column else ""
        split = "" if is_missing_text(split) else split
        if split and split not in _SPLITS:
            raise ManifestMismatch(
                f"{where}: unknown split {split!r} in column {split_column}",
                cure=f"use one of {', '.join(_SPLITS)}, or name another column with --split-column, none for no column",
            )
        self._rows.append(
            ManifestRow(
                path,
                self._label(fields.get(label_column), where) if label_column else None,
                _key(fields.get(group_column)) if group_column else None,
                _SPLITS[split] if split else None,
                in_both="+" in split,
                sha256=_sha256(fields.get("sha256"), where),
                label_named=label_column is not None,
                subgroups=self._subgroups(fields, where),
            )
        )

    def finished(self) -> tuple[list[ManifestRow], list[str]]:
        """The rows with their groups, labels joined; and what a person should know."""
        told = []
        if self._missing:
            named = ", ".join(f"{text!r} ({count})" for text, count in sorted(self._missing.items()))
            told.append(
                f"{self._missing.total()} of {len(self._rows)} rows of {self._manifest} have a label that says that "
                f"there is none, {named}: these images count as unlabelled. If it is a class, keep it with "
                f"--keep-labels {min(self._missing)}."
            )
        spellings = join_spellings(
            counted([row.label for row in self._rows]), join=self._reading.join_spellings
        )
        told += spellings.told
        rows = self._rows
        if self._groups is not None:
            _, keys, of_groups = self._groups.chosen(self._manifest)
            told += of_groups
            if keys:
                rows = [replace(row, group=group) for row, group in zip(rows, keys, strict=True)]
        joined = join_spellings(counted([row.group for row in rows])).names
        return [
            replace(
                row,
                label=None if row.label is None else spellings.names[row.label],
                group=None if row.group is None else joined[row.group],
            )
            for row in rows
        ], told

    def _subgroups(self, fields: Mapping[str, Any], where: str) -> tuple[str | None, ...]:
        named = (
            named_column(fields, one, "--subgroup-columns", where) for one in self._reading.subgroup_columns
        )
        return tuple(None if column is None else _key(fields[column]) for column in named)

    def _column(self, fields: Mapping[str, Any], named: str | None, option: str, where: str) -> str | None:
        return None if named is None else named_column(fields, named, option, where)

    def _split_column(self, fields: Mapping[str, Any], where: str) -> str | None:
        """The one named, `split`, or the one column whose name ends so."""
        if self._reading.split_column is not None:
            return named_column(fields, self._reading.split_column, "--split-column", where)
        names = ["split"] if "split" in fields else sorted(name for name in fields if name.endswith("split"))
        if len(names) > 1:
            raise ManifestMismatch(
                f"{where}: the columns {', '.join(names)} could each be the split",
                cure="name the one that counts with --split-column",
            )
        return names[0] if names else None

    def _watch(self, fields: Mapping[str, Any], taken: set[str | None]) -> None:
        if self._groups is None:
            others = [name for name in fields if name not in taken | {"sha256", "image_details"}]
            self._groups = GroupColumns(others)
        self._groups.add(fields)

    def _label(self, value: Any, where: str) -> str | None:
        if isinstance(value, list):  # AutoML writes several labels as a list
            if len(value) > 1:
                raise ManifestMismatch(f"{where}: {len(value)} labels", cure="give each image one label")
            value = value[0] if value else None
        if isinstance(value, dict):
            raise ManifestMismatch(
                f"{where}: the label is an object with {', '.join(map(str, value))}",
                cure="write the class's name",
            )
        text = cell_text(value)
        if text is None or not is_missing_text(text) or text.casefold() in self._kept:
            return text
        self._missing[text] += 1
        return None


def _no_column(fields: Mapping[str, Any], path_column: str | None, where: str) -> ManifestMismatch:
    missing, option = ("label", "--label-column") if path_column else ("path (or image_url)", "--path-column")
    return ManifestMismatch(
        f"{where}: column {missing} is missing, there are {', '.join(sorted(fields))}",
        cure=f"name the column with {option}, or call the columns path and label, and optionally group and split; "
        "with a split or a group, label may be left out where each folder is a class",
    )


def _key(value: Any) -> str | None:
    text = cell_text(value)
    return None if text is None or is_missing_text(text) else text


def _sha256(value: Any, where: str) -> str | None:
    text = cell_text(value)
    if text is None or is_missing_text(text):
        return None
    if not _SHA256.fullmatch(text):
        raise ManifestMismatch(
            f"{where}: {text!r} is no SHA-256", cure="write 64 hexadecimal digits, or leave it empty"
        )
    return text.lower()


def _fit(
    rows: Sequence[ManifestRow], blobs: Sequence[Blob], store: Datastore, manifest: str
) -> dict[str, ManifestRow]:
    paths = StorePaths([blob.path for blob in blobs], store.url)
    fitted: dict[str, ManifestRow] = {}
    foreign: dict[str, str] = {}
    unknown: list[str] = []
    differing: list[str] = []
    ambiguous: list[str] = []
    for row in rows:
        path = paths.find(row.path)
        if path is None:
            unknown.append(without_query(row.path))
            continue
        if paths.is_written_otherwise(row.path, path):
            plain = plain_address(row.path)
            if foreign.setdefault(path, plain) != plain:
                ambiguous.append(f"{foreign[path]} and {plain}")
        placed = replace(row, path=path)
        if fitted.setdefault(path, placed) != placed:
            differing.append(path)
    if unknown:
        near = paths.nearly(unknown[0])
        raise ManifestMismatch(
            f"{len(unknown)} of the paths in {manifest} are not among the {len(paths)} files of {store.url}: "
            f"{_first(unknown)}",
            cure="write paths relative to the store's root, with the same upper and lower case"
            + (f": {near} instead of {unknown[0]}" if near else ""),
        )
    if ambiguous:
        raise ManifestMismatch(
            f"{len(ambiguous)} addresses in {manifest} would mean the same file as another address: "
            f"{_first(ambiguous)}",
            cure="write paths relative to the store's root, such as folder/name.png",
        )
    if differing:
        raise ManifestMismatch(
            f"{len(differing)} rows of {manifest} contradict an earlier row of the path: {_first(differing)}",
            cure="keep one row, with one label, group and split, for each path",
        )
    return fitted


def _first(paths: Sequence[str]) -> str:
    return ", ".join(paths[:_NAMED]) + (", ..." if len(paths) > _NAMED else "")
