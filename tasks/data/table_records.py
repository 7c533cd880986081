"""The rows of a table's bytes, whatever program wrote it: CSV, Parquet, JSON lines, JSON."""

import codecs
import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tasks.errors import ManifestMismatch

Row = Mapping[str, Any]

_DELIMITERS: Final = ",;\t|"
_WRAPPERS: Final = ("data", "rows", "records", "items", "images", "value", "results")
_GUARDS: Final = (")]}',", ")]}'", "while(1);", "for(;;);")
"""What web services put before JSON so that no page can run it."""

_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def table_records(data: bytes, name: str) -> Iterator[tuple[int, Row]]:
    """Rows with their line (or row) numbers, from 1; told apart by content, not by name.

    CSV is parted by comma, semicolon, tab or bar, also below a spreadsheet's line `sep=;`. JSON is one object a line,
    a list of objects, such a list within an object, or columns as pandas writes them. Text is UTF-8, or UTF-16 with
    its mark.

    Raises:
        ManifestMismatch: it is none of these.
    """
    if data.startswith(b"PAR1"):
        yield from enumerate(_parquet(data, name), 1)
        return
    text = _text(data, name)
    if text.startswith(("{", "[")):
        yield from _json_rows(text, name)
        return
    yield from _csv_rows(text, name)


def _text(data: bytes, name: str) -> str:
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ManifestMismatch(
            f"{name} is neither Parquet nor UTF-8 text", cure="save it as UTF-8"
        ) from error
    text = (
        text.lstrip("\ufeff \t\r\n")
        if text.lstrip("\ufeff \t\r\n")[:1] in ("{", "[")
        else text.lstrip("\ufeff\r\n")
    )
    for guard in _GUARDS:
        if text.startswith(guard):
            return text.removeprefix(guard).lstrip()
    return text


def _parquet(data: bytes, name: str) -> list[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows: list[dict[str, Any]] = pyarrow.parquet.read_table(io.BytesIO(data)).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise ManifestMismatch(f"{name} is damaged Parquet ({error})", cure="write it again") from error
    return rows


def _csv_rows(text: str, name: str) -> Iterator[tuple[int, Row]]:
    first, _, rest = text.partition("\n")
    told = first.strip().lower().removeprefix("sep=") if first.strip().lower().startswith("sep=") else None
    skipped = 0
    if told is not None:
        text, skipped = rest, 1
    header = text.partition("\n")[0]
    delimiter = told if told and len(told) == 1 else max(_DELIMITERS, key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        twice = sorted(
            {column for column in reader.fieldnames or () if (reader.fieldnames or ()).count(column) > 1}
        )
        if twice and any(column.strip() for column in twice):
            raise ManifestMismatch(
                f"{name} has the column {', '.join(twice)} more than once",
                cure="give each column a name of its own",
            )
        for record in reader:
            if None in record or None in record.values():
                raise csv.Error("not as many fields as the header names")
            yield reader.line_num + skipped, record
    except csv.Error as error:
        raise ManifestMismatch(
            f"{name}, line {reader.line_num + skipped}: {error}",
            cure="put names that hold the separator in double quotes",
        ) from error


def _json_rows(text: str, name: str) -> Iterator[tuple[int, Row]]:
    """Of one document, where it is one and no single row; else of JSON lines."""
    try:
        whole = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        yield from _json_lines(text, name)
        return
    rows = _rows_within(whole)
    if rows is None:
        raise ManifestMismatch(
            f"{name} is JSON, but holds no list of rows",
            cure='write one JSON object a line, or a list of objects: [{"path": ..., "label": ...}]',
        )
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ManifestMismatch(
                f"{name}, row {number}: no JSON object", cure="write one JSON object a row"
            )
        yield number, row


def _rows_within(content: Any) -> list[Any] | None:
    if isinstance(content, list):
        return content
    if not isinstance(content, dict):
        return None
    columns, rows = content.get("columns"), content.get("data")
    if isinstance(columns, list) and isinstance(rows, list):
        return [
            dict(zip(map(str, columns), row, strict=False)) if isinstance(row, list) else row for row in rows
        ]
    for wrapper in _WRAPPERS:
        if isinstance(content.get(wrapper), list) and all(isinstance(row, dict) for row in content[wrapper]):
            return list(content[wrapper])
    return _turned(content)


def _turned(columns: Mapping[str, Any]) -> list[Any]:
    """Rows of columns that are lists or objects by row, as pandas writes them; of anything else, the object alone."""
    if columns and all(isinstance(column, dict) for column in columns.values()):
        numbers = dict.fromkeys(number for column in columns.values() for number in column)
        return [{name: column.get(number) for name, column in columns.items()} for number in numbers]
    lengths = {len(column) if isinstance(column, list) else None for column in columns.values()}
    if len(columns) > 1 and len(lengths) == 1 and None not in lengths:
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [columns]


def _json_lines(text: str, name: str) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            told = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
            raise ManifestMismatch(
                f"{name}, line {number}: no JSON ({told})", cure="write one JSON object a line"
            ) from error
        if not isinstance(record, dict):
            raise ManifestMismatch(
                f"{name}, line {number}: no JSON object", cure="write one JSON object a line"
            )
        yield number, record


def by_column(record: Row, where: str) -> dict[str, Any]:
    """A row by the names of its columns in lower case.

    Raises: ManifestMismatch where two names are the same then.
    """
    fields: dict[str, Any] = {}
    for name, value in record.items():
        plain = str(name).strip("\ufeff \t\r\n").lower()
        if plain in fields and fields[plain] != value:
            raise ManifestMismatch(
                f"{where}: two columns are called {plain}, apart from upper and lower case",
                cure="give each column a name of its own",
            )
        fields[plain] = value
    return fields
