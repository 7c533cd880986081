"""Manifests: a table that says which file of the store carries which label.

Read here: CSV (comma, semicolon or tab), Parquet, JSON lines, and the JSON lines of Azure AutoML, whose
`image_url` is an address of the image; told apart by content, not by name.
"""

import csv
import io
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from tasks.errors import DataError, ManifestMismatch
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
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """What a manifest says of one file.

    `in_both` is content that stands in training and test: it counts as test. `sha256` is lower case.
    `label_named` is False where the manifest has no label column, which leaves the label to the folders.
    """

    path: str
    label: str | None
    group: str | None
    split: Split | None
    in_both: bool = False
    sha256: str | None = None
    label_named: bool = True


def read_manifest(
    store: Datastore, blobs: Sequence[Blob], manifest: str
) -> tuple[dict[str, ManifestRow], str | None]:
    """The manifest's rows by the store's paths, and the manifest's own path when it stands in the store.

    `manifest` is a URL, a local file, or a path within the store. Columns: `path` (below the store) or
    `image_url`, `label`, and optionally `group` (a patient, say), `split` (train or test; validation counts as
    train, content in both as test) and `sha256` of the file's bytes. The split may have any name that ends in
    `split`. Where a split or a group is named, the label column may be left out: the folders say it then.
    Further columns are left alone. An empty label is none. A row given twice with the same content counts
    once. Names are compared as they are and in Unicode's composed form.

    Raises:
        ManifestMismatch: unreadable; a column is missing, or several could be the split; paths are not in the
            store, or come twice and differ; an unknown split. The first few paths and the counts are named.
    """
    data, own_path = _read(store, blobs, manifest)
    rows = [_row(record, number, manifest) for number, record in _records(data, manifest)]
    if not rows:
        raise ManifestMismatch(
            f"{manifest} has no rows", cure="give a row with path and label for each image"
        )
    return _fit(rows, [blob for blob in blobs if blob.path != own_path], store, manifest), own_path


def _read(store: Datastore, blobs: Sequence[Blob], manifest: str) -> tuple[bytes, str | None]:
    within = manifest[len(store.url) :].lstrip("/") if manifest.startswith(f"{store.url}/") else manifest
    local = Path(os.path.abspath(Path(manifest).expanduser()))  # noqa: PTH100 links stay links
    try:
        if not _URL.match(manifest) and local.is_file():
            inside = store.is_local and local.is_relative_to(store.url)
            return local.read_bytes(), str(local.relative_to(store.url)) if inside else None
        if any(blob.path == within for blob in blobs):
            return store.read(within), within
        if _URL.match(manifest):
            folder, _, name = manifest.rpartition("/")
            return Datastore(folder).read(name), None
    except OSError as error:
        raise ManifestMismatch(
            f"{manifest} cannot be read ({error.strerror})", cure="check the file's permissions"
        ) from error
    except DataError as error:
        raise ManifestMismatch(f"the manifest cannot be read: {error.message}", cure=error.cure) from error
    raise ManifestMismatch(
        f"there is no manifest {manifest}, neither as a local file nor in {store.url}", cure="check its path"
    )


def _records(data: bytes, manifest: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Rows with their line (or row) numbers, from 1."""
    if data.startswith(b"PAR1"):
        yield from enumerate(_parquet(data, manifest), 1)
        return
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestMismatch(
            f"{manifest} is neither Parquet nor UTF-8 text", cure="save it as UTF-8"
        ) from error
    if text.lstrip().startswith(("{", "[")):
        yield from _json_lines(text, manifest)
        return
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        for record in reader:
            if None in record or None in record.values():
                raise csv.Error("not as many fields as the header names")
            yield reader.line_num, record
    except csv.Error as error:
        raise ManifestMismatch(
            f"{manifest}, line {reader.line_num}: {error}",
            cure="put names that hold the separator in double quotes",
        ) from error


def _parquet(data: bytes, manifest: str) -> list[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows: list[dict[str, Any]] = pyarrow.parquet.read_table(io.BytesIO(data)).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise ManifestMismatch(f"{manifest} is damaged Parquet ({error})", cure="write it again") from error
    return rows


def _json_lines(text: str, manifest: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ManifestMismatch(
                f"{manifest}, line {number}: no JSON ({error.msg})", cure="write one JSON object a line"
            ) from error
        if not isinstance(record, dict):
            raise ManifestMismatch(
                f"{manifest}, line {number}: no JSON object", cure="write one JSON object a line"
            )
        yield number, record


def _row(record: Mapping[str, Any], number: int, manifest: str) -> ManifestRow:
    fields = {str(name).strip().lower(): value for name, value in record.items()}
    where = f"{manifest}, row {number}"
    split_column = _split_column(fields, where)
    label_named = "label" in fields
    if not {"path", "image_url"} & fields.keys() or not (label_named or split_column or "group" in fields):
        missing = "path (or image_url)" if label_named else "label"
        raise ManifestMismatch(
            f"{where}: column {missing} is missing, there are {', '.join(sorted(fields))}",
            cure="name the columns path and label, and optionally group and split; with a split or a group, label "
            "may be left out where each folder is a class",
        )
    path = _text(fields.get("path", fields.get("image_url")))
    if path is None:
        raise ManifestMismatch(f"{where}: the path is empty", cure="fill it or drop the row")
    split = (_text(fields[split_column]) or "").lower() if split_column else ""
    if split and split not in _SPLITS:
        raise ManifestMismatch(
            f"{where}: unknown split {split!r} in column {split_column}",
            cure=f"use one of {', '.join(_SPLITS)}, or give the column a name that does not end in split",
        )
    return ManifestRow(
        path,
        _label(fields.get("label"), where),
        _text(fields.get("group")),
        _SPLITS[split] if split else None,
        in_both="+" in split,
        sha256=_sha256(fields.get("sha256"), where),
        label_named=label_named,
    )


def _split_column(fields: Mapping[str, Any], where: str) -> str | None:
    """`split`, or the one column whose name ends so."""
    names = ["split"] if "split" in fields else sorted(name for name in fields if name.endswith("split"))
    if len(names) > 1:
        raise ManifestMismatch(
            f"{where}: the columns {', '.join(names)} could each be the split",
            cure="name the one that counts split",
        )
    return names[0] if names else None


def _label(value: Any, where: str) -> str | None:
    if isinstance(value, list):  # AutoML writes several labels as a list
        if len(value) > 1:
            raise ManifestMismatch(f"{where}: {len(value)} labels", cure="give each image one label")
        return _text(value[0]) if value else None
    return _text(value)


def _sha256(value: Any, where: str) -> str | None:
    text = _text(value)
    if text is not None and not _SHA256.fullmatch(text):
        raise ManifestMismatch(
            f"{where}: {text!r} is no SHA-256", cure="write 64 hexadecimal digits, or leave it empty"
        )
    return text.lower() if text is not None else None


def _text(value: Any) -> str | None:
    if value is None or value != value:  # noqa: PLR0124 NaN is how tables say nothing
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip() or None


def _fit(
    rows: Iterable[ManifestRow], blobs: Sequence[Blob], store: Datastore, manifest: str
) -> dict[str, ManifestRow]:
    paths = {blob.path for blob in blobs}
    composed = {unicodedata.normalize("NFC", path): path for path in paths}
    known = paths | composed.keys()
    fitted: dict[str, ManifestRow] = {}
    unknown: list[str] = []
    differing: list[str] = []
    for row in rows:
        candidates = _candidates(row.path, store.url)
        path = next((name if name in paths else composed[name] for name in candidates if name in known), None)
        if path is None:
            unknown.append(row.path.partition("?")[0])
            continue
        placed = replace(row, path=path)
        if fitted.setdefault(path, placed) != placed:
            differing.append(path)
    if unknown:
        raise ManifestMismatch(
            f"{len(unknown)} of the paths in {manifest} are not among the {len(paths)} files of {store.url}: "
            f"{_first(unknown)}",
            cure="write paths relative to the store's root, with the same upper and lower case",
        )
    if differing:
        raise ManifestMismatch(
            f"{len(differing)} rows of {manifest} contradict an earlier row of the path: {_first(differing)}",
            cure="keep one row, with one label, group and split, for each path",
        )
    return fitted


def _candidates(path: str, root: str) -> list[str]:
    """The paths below the root that an address may mean, likeliest first.

    An address in another form than the store's (`https://account.../container/...`, `azureml://.../paths/...`)
    means its longest tail that stands in the store.
    """
    if path.startswith(f"{root}/"):
        return _both_forms(path[len(root) + 1 :])
    if not _URL.match(path):
        return _both_forms(path.removeprefix("./"))
    address = _URL.sub("", path)
    tails = []
    for form in (address, unquote(address.partition("?")[0])):
        parts = form.split("/")
        tails += ["/".join(parts[start:]) for start in range(1, len(parts))]
    tails.sort(key=lambda tail: tail.count("/"), reverse=True)
    return [name for tail in tails for name in _both_forms(tail)]


def _both_forms(path: str) -> list[str]:
    return [path, unicodedata.normalize("NFC", path)]


def _first(paths: Sequence[str]) -> str:
    return ", ".join(paths[:_NAMED]) + (", ..." if len(paths) > _NAMED else "")
