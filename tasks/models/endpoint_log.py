"""The endpoint's log as it stands in the workspace: one schema for who ships it and for who reads it.

A row is one image that was judged or rejected; a file holds an hour of one process. Not imported by the serving
process, which only appends lines of JSON to its own disk: pyarrow is not loaded there.
"""

import io
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.stores.layout import ENDPOINT_LOG
from tasks.stores.workspace import Workspace

SCHEMA: Final = pa.schema(
    [
        ("time", pa.timestamp("us", tz="UTC")),
        ("request_id", pa.string()),
        ("sha256", pa.string()),
        ("deployment", pa.string()),
        ("version", pa.string()),
        ("mirrored", pa.bool_()),
        ("label", pa.string()),
        ("classes", pa.list_(pa.string())),
        ("probabilities", pa.list_(pa.float64())),
        ("rejected", pa.string()),
        ("seconds", pa.float64()),
        ("image", pa.binary()),
        ("client", pa.string()),
        ("correlation_id", pa.string()),
    ]
)


def log_path(name: str, hour: str) -> str:
    """Where the rows of an hour are kept; `hour` begins with its date, as in `2026-01-31T23-...`."""
    date, _, rest = hour.partition("T")
    return ENDPOINT_LOG.path(name=name, date=date, hour=rest)


def newest_rows(workspace: Workspace, name: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rows of a model's log with these columns, file by file, the newest first."""
    for path in sorted(workspace.list(ENDPOINT_LOG.folder(name=name)), reverse=True):
        table = pq.read_table(io.BytesIO(workspace.read(path)), columns=list(columns))
        yield from reversed(table.to_pylist())
