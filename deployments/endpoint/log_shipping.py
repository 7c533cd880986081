"""A process of its own that turns closed hours of the prediction log into Parquet files in the workspace.

Run as `python -m deployments.endpoint.log_shipping WORKSPACE NAME FOLDER`. Several may run at once: each file
is claimed by a lock, its name in the workspace follows from its name here, and it is removed here only once
it stands there.
"""

import base64
import fcntl
import io
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.errors import LightboxError
from tasks.models.endpoint_log import SCHEMA, log_path
from tasks.stores.workspace import Workspace

_ROWS_AT_ONCE: Final = 1000


def ship(workspace: Workspace, name: str, folder: Path) -> list[str]:
    """Put every closed file of `folder` into the workspace; the paths written there.

    Raises:
        WorkspaceError: the workspace does not take them; they stay.
    """
    written = []
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as lines:
            try:
                fcntl.flock(lines, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if not path.exists():
                continue
            target = log_path(name, path.stem)
            parquet = folder / f".{path.stem}.parquet"
            try:
                _write(lines, parquet)
                workspace.upload(parquet, target)
            finally:
                parquet.unlink(missing_ok=True)
            path.unlink()
            written.append(target)
    return written


def _write(lines: io.BufferedReader, target: Path) -> None:
    with pq.ParquetWriter(target, SCHEMA, compression="zstd") as writer:
        rows: list[dict[str, Any]] = []
        for line in lines:
            row = _row(line)
            if row is None:
                continue
            rows.append(row)
            if len(rows) == _ROWS_AT_ONCE:
                writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
                rows = []
        writer.write_table(pa.Table.from_pylist(rows, SCHEMA))


def _row(line: bytes) -> dict[str, Any] | None:
    """A row for Parquet, or None for the last line of a process killed while it wrote."""
    try:
        facts: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    probabilities: dict[str, float] = facts["probabilities"]
    return {
        **facts,
        "time": int(facts["time"] * 1e6),
        "classes": list(probabilities),
        "probabilities": list(probabilities.values()),
        "image": base64.b64decode(facts["image"]) if facts["image"] is not None else None,
    }


def main(workspace: str, name: str, folder: str) -> int:
    """Ship once; 0 when all was taken, 2 with the reason on standard error when not."""
    if hasattr(os, "nice"):
        os.nice(10)
    try:
        ship(Workspace(workspace), name, Path(folder))
    except LightboxError as error:
        sys.stderr.write(f"{error.message}; {error.cure}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
