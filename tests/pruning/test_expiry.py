"""The endpoint's log expires by its days: pictures first, then the rows."""

import io
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.runs.main_job import lightbox

from deployments.endpoint.log_shipping import ship
from deployments.endpoint.prediction_log import LogRow
from tasks.stores.workspace import Workspace

NAME = "small"


def log_row(image: bytes) -> LogRow:
    return LogRow(
        time=time.time(), request_id="r", sha256="0" * 64, deployment="champion", version="v1", mirrored=False,
        label="yes", probabilities={"no": 0.25, "yes": 0.75}, rejected=None, seconds=0.01, image=image,
    )  # fmt: skip


@pytest.fixture
def logged(tmp_path: Path) -> dict[int, str]:
    """A log of today, and of 20 and 100 days ago: paths by age in days."""
    folder = tmp_path / "log"
    folder.mkdir()
    for age in (0, 20, 100):
        day = datetime.now(UTC) - timedelta(days=age)
        (folder / f"{day:%Y-%m-%d}T12-x.jsonl").write_bytes(log_row(b"picture").line(with_image=True))
    written = sorted(ship(Workspace(str(tmp_path / "ws")), NAME, folder), reverse=True)
    return dict(zip((0, 20, 100), written, strict=True))


def prune(tmp_path: Path, *more: str) -> str:
    where = ("workspace", "prune", "--workspace", str(tmp_path / "ws"), "--keep", "1")
    done = lightbox(*where, *more, cache=tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    return done.stdout


def pictures(tmp_path: Path, path: str) -> list[bytes | None]:
    table = pq.read_table(io.BytesIO((tmp_path / "ws" / path).read_bytes()))
    assert table["sha256"].to_pylist() == ["0" * 64]
    return list(table["image"].to_pylist())


def test_nothing_expires_unless_it_is_said(tmp_path: Path, logged: dict[int, str]) -> None:
    prune(tmp_path, "--apply")
    assert [pictures(tmp_path, path) for path in logged.values()] == [[b"picture"]] * 3


def test_pictures_expire_before_their_rows(tmp_path: Path, logged: dict[int, str]) -> None:
    limits = ("--log-retention-days", "90", "--log-picture-days", "7")
    assert "are too old" in prune(tmp_path, *limits)
    assert pictures(tmp_path, logged[20]) == [b"picture"], "a dry run changes nothing"
    prune(tmp_path, *limits, "--apply")
    assert pictures(tmp_path, logged[0]) == [b"picture"]
    assert pictures(tmp_path, logged[20]) == [None]
    assert not (tmp_path / "ws" / logged[100]).exists()
    assert "too old" not in prune(tmp_path, *limits)
