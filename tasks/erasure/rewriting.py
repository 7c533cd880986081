"""A file without those who are forgotten, by its form: JSON, JSON lines, tables, pages. Pure: bytes in, bytes out."""

import html
import io
import json
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.erasure.subject import GONE, Subject
from tasks.stores.layout import Kind

ROWS_GO: Final[frozenset[Kind]] = frozenset({"embeddings", "inspections", "listings", "labels"})
"""Kinds of tables whose rows go; in the others a row stays, without name and picture, so that figures still add up."""
UNREAD: Final = frozenset({".onnx", ".safetensors", ".npy"})
"""Forms that name no image: weights, and pixels, of which a list beside them tells."""

_FIGURE: Final = re.compile(r"<figure class=\"picture\">.*?</figure>", re.DOTALL)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_REMOVED: Final = '<figure class="picture"><figcaption>This image was forgotten.</figcaption></figure>'


def without(path: str, kind: Kind, data: bytes, subject: Subject) -> bytes | None:
    """The file without the subject: equal bytes where it does not concern it, None where it goes as a whole.

    Raises:
        ValueError, pa.ArrowException: it cannot be read.
    """
    match PurePosixPath(path).suffix:
        case ".json":
            return _json(data, subject)
        case ".jsonl":
            return b"".join(_json(line, subject) for line in data.splitlines(keepends=True))
        case ".parquet":
            return _table(data, kind, subject)
        case ".npz":
            return None if digests_in(path, data) & subject.digests.keys() else data
        case ".html":
            return _page(data, subject)
        case _:
            return None if any(digest.encode() in data for digest in subject.digests) else data


def digests_in(path: str, data: bytes) -> set[str]:
    """Every SHA-256 that a file names, whatever it is of.

    Raises:
        ValueError, pa.ArrowException: it cannot be read.
    """
    match PurePosixPath(path).suffix:
        case ".parquet":
            table = pq.read_table(io.BytesIO(data))
            columns = [
                table[name].to_pylist() for name in table.column_names if _is_text(table.schema.field(name))
            ]
            return {found for column in columns for text in column if text for found in _DIGEST.findall(text)}
        case ".npz":
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                names = [
                    arrays[name].astype(str).tolist()
                    for name in arrays.files
                    if arrays[name].dtype.kind in "SU"
                ]
            return {text for column in names for text in column if _DIGEST.fullmatch(text)}
        case _:
            return set(_DIGEST.findall(data.decode("utf-8", "replace")))


def _json(data: bytes, subject: Subject) -> bytes:
    value: Any = json.loads(data) if data.strip() else None
    told = subject.without_in(value)
    if told == value:
        return data
    end = b"\n" if data.endswith(b"\n") else b""
    spaces = 2 if b"\n  " in data else None
    separators = None if spaces or b'": ' in data else (",", ":")
    return json.dumps(told, indent=spaces, separators=separators, ensure_ascii=False).encode() + end


def _is_text(field: pa.Field) -> bool:
    return bool(pa.types.is_string(field.type) or pa.types.is_large_string(field.type))


def _table(data: bytes, kind: Kind, subject: Subject) -> bytes:
    table = pq.read_table(io.BytesIO(data))
    texts = {
        name: table[name].to_pylist() for name in table.column_names if _is_text(table.schema.field(name))
    }
    rows = range(table.num_rows)
    named = [any(text[row] and subject.names(text[row]) for text in texts.values()) for row in rows]
    stale = [any(text[row] in subject.files for text in texts.values()) for row in rows]
    if not any(named) and not any(stale):
        return data
    if kind in ROWS_GO:
        table = table.filter(pa.array([not one for one in named]))
    else:
        for name, text in texts.items():
            is_path = name == "path" or name.startswith("path_")
            told = [
                cell if cell is None or not (named[row] or stale[row])
                else GONE if is_path and named[row] and _names_row(subject, texts, row, name)
                else subject.without(cell)
                for row, cell in enumerate(text)
            ]  # fmt: skip
            table = _replaced(table, name, told)
        for name in set(table.column_names) & _PICTURES:
            column = table[name].to_pylist()
            table = _replaced(table, name, [None if named[row] else cell for row, cell in enumerate(column)])
    written = io.BytesIO()
    pq.write_table(table, written, compression="zstd" if kind == "endpoint log" else "snappy")
    return written.getvalue()


_PICTURES: Final = frozenset({"image"})
"""Columns that hold pictures, which go where a row names the subject."""


def _names_row(subject: Subject, texts: Mapping[str, list[Any]], row: int, path_column: str) -> bool:
    """Whether the digest beside a path is the subject's: `path` and `sha256`, `path_a` and `sha256_a`."""
    beside = texts.get(path_column.replace("path", "sha256", 1))
    return beside is None or beside[row] in subject.digests


def _replaced(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    place = table.schema.get_field_index(name)
    field = table.schema.field(name)
    return table.set_column(place, field, pa.array(values, type=field.type))


def _page(data: bytes, subject: Subject) -> bytes:
    """Pictures that are captioned with a path of the subject go with their figure, its names everywhere else."""
    text = data.decode()
    paths = {html.escape(path, quote=False): path for path in subject.paths}
    told = _FIGURE.sub(lambda found: _REMOVED if _shows(found.group(), paths) else found.group(), text)
    for path in paths:
        told = told.replace(f">{path}<", f">{GONE}<")
    for before, after in subject.digests.items():
        told = told.replace(before, after)
    return data if told == text else told.encode()


def _shows(figure: str, paths: Mapping[str, str]) -> bool:
    return any(f">{path}<" in figure for path in paths)
