"""What of the endpoint's log has expired: whole days, or their pictures alone."""

import io
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from tasks.record import Frozen
from tasks.stores.layout import ENDPOINT_LOG
from tasks.stores.workspace import Workspace

_PICTURE = "image"


class ExpiredLog(Frozen):
    """Files of the endpoint's log that are older than they may be."""

    removed: tuple[str, ...] = Field(default=(), description="Files that go.")
    without_pictures: tuple[str, ...] = Field(
        default=(), description="Files whose pictures go; their rows stay."
    )


def expired_log(
    workspace: Workspace,
    name: str | None,
    *,
    log_days: int | None,
    picture_days: int | None,
    now_seconds: float,
) -> ExpiredLog:
    """What is older than so many days, by the date in its path (UTC); None: nothing expires.

    Raises: WorkspaceError when the workspace does not answer.
    """
    removed, pictures = [], []
    for path in workspace.list(ENDPOINT_LOG.folder()):
        fields = ENDPOINT_LOG.fields(path)
        if fields is None or name not in (None, fields["name"]):
            continue
        if log_days is not None and fields["date"] < _day(now_seconds, log_days):
            removed.append(path)
        elif picture_days is not None and fields["date"] < _day(now_seconds, picture_days):
            pictures += [path] if _has_pictures(workspace.read(path)) else []
    return ExpiredLog(removed=tuple(removed), without_pictures=tuple(pictures))


def expire(workspace: Workspace, expired: ExpiredLog) -> None:
    """Remove them. Killed in the middle, the next time goes on."""
    for path in expired.removed:
        workspace.delete(path)
    for path in expired.without_pictures:
        workspace.write(path, _without_pictures(workspace.read(path)))


def _day(now_seconds: float, days: int) -> str:
    return f"{datetime.fromtimestamp(now_seconds, UTC) - timedelta(days=days):%Y-%m-%d}"


def _has_pictures(data: bytes) -> bool:
    table = pq.read_table(io.BytesIO(data), columns=[_PICTURE])
    return bool(table[_PICTURE].null_count < table.num_rows)


def _without_pictures(data: bytes) -> bytes:
    table = pq.read_table(io.BytesIO(data))
    field = table.schema.field(_PICTURE)
    table = table.set_column(
        table.schema.get_field_index(_PICTURE), field, pa.nulls(table.num_rows, type=field.type)
    )
    written = io.BytesIO()
    pq.write_table(table, written, compression="zstd")
    return written.getvalue()
