"""The log of predictions: complete, in Parquet, and never in a request's way."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.repository import REPOSITORY
from support.samples.endpoint_bundles import REASON
from support.samples.log_rows import row
from support.services.live_endpoint import live, picture

from deployments.endpoint import prediction_log as module
from deployments.endpoint.log_shipping import ship
from deployments.endpoint.measures import Measures
from deployments.endpoint.prediction_log import PredictionLog
from deployments.endpoint.settings import LogSettings, ServeSettings
from tasks.models.registry import Registry
from tasks.stores.workspace import Workspace

Settings = Callable[..., ServeSettings]


def rows(workspace: Path) -> list[dict[str, object]]:
    return [
        row
        for path in sorted(workspace.glob("endpoint-log/slices/*/*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]


def test_predictions_and_rejections_stand_in_the_workspace(settings: Settings, workspace: Path) -> None:
    image = picture()
    with live(settings(log=LogSettings())) as found:
        answer = found.client.predict(image)
        assert found.client.predict(b"rubbish").status == 400
        assert found.client.predict(picture(1, "JPEG")).status == 200
    first, second, third = rows(workspace)
    assert first["sha256"] == hashlib.sha256(image).hexdigest()
    assert first["request_id"] == answer.headers["x-request-id"]
    (said,) = answer.json["predictions"]
    assert dict(zip(first["classes"], first["probabilities"], strict=True)) == said["probabilities"]  # type: ignore[call-overload]
    assert (first["label"], first["version"], first["deployment"]) == (said["label"], "v1", "champion")
    assert (second["rejected"], second["label"]) == ("not_an_image", None)
    assert third["rejected"] is None
    assert all(one["image"] is None for one in (first, second, third))
    assert all(0 < one["seconds"] < 10 for one in (first, third))  # type: ignore[operator]


def test_images_are_kept_only_when_asked_for(settings: Settings, workspace: Path) -> None:
    with live(settings(log=LogSettings(images=True))) as found:
        found.client.predict(picture())
    assert [one["image"] for one in rows(workspace)] == [picture()]


def test_sampling_keeps_a_share(settings: Settings, workspace: Path) -> None:
    with live(settings(log=LogSettings(sampling=0))) as found:
        for _ in range(5):
            found.client.predict(picture())
    assert rows(workspace) == []
    assert not list(workspace.glob("endpoint-log"))


def test_mirrored_answers_are_logged_as_such(settings: Settings, workspace: Path) -> None:
    Registry(Workspace(str(workspace))).promote("slices", "v2", REASON, alias="challenger")
    with live(settings(log=LogSettings(), mirror_percent=100)) as found:
        found.client.predict(picture())
        deadline = time.monotonic() + 10
        while b'deployment="mirror"' not in found.client.get("/metrics").body:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert sorted((one["version"], one["mirrored"]) for one in rows(workspace)) == [
        ("v1", False),
        ("v2", True),
    ]


def test_with_the_workspace_away_rows_wait_and_are_shipped_later(settings: Settings, workspace: Path) -> None:
    given = settings(log=LogSettings())
    with live(given) as found:
        found.client.predict(picture())
        workspace.rename(workspace.with_name("away"))
        workspace.write_text("in the way")  # a local folder would be made anew
    workspace.unlink()
    workspace.with_name("away").rename(workspace)
    assert rows(workspace) == []
    with live(given) as found:
        assert found.client.predict(picture(1)).status == 200
    assert len(rows(workspace)) == 2


def test_the_disk_is_capped_and_what_is_dropped_is_counted(tmp_path: Path) -> None:
    measures = Measures()
    log = PredictionLog(
        LogSettings(images=True, max_disk_mib=1), "memory://away", "slices", tmp_path / "log", measures
    )
    for _ in range(8):
        log.add(row(300_000))
    log.start()
    log.close()
    text = measures.text().decode()
    assert 'log_rows_total{outcome="kept"} 2.0' in text
    assert 'log_rows_total{outcome="dropped"} 6.0' in text


def test_adding_never_waits(tmp_path: Path) -> None:
    measures = Measures()
    log = PredictionLog(LogSettings(), "memory://away", "slices", tmp_path / "log", measures)  # nobody writes
    started = time.perf_counter()
    for _ in range(10_000):
        log.add(row())
    assert time.perf_counter() - started < 2
    assert 'outcome="dropped"' in measures.text().decode()


def test_what_a_killed_process_left_is_shipped_without_its_torn_last_line(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    line = row().line(with_image=False)
    (folder / f"2026-01-02T03-abc-99999999{module.OPEN}").write_bytes(line + line + line[:40])
    log = PredictionLog(LogSettings(), str(tmp_path / "workspace"), "slices", folder, Measures())
    log._adopt()
    written = ship(Workspace(str(tmp_path / "workspace")), "slices", folder)
    assert written == ["endpoint-log/slices/2026-01-02/03-abc-99999999.parquet"]
    assert len(rows(tmp_path / "workspace")) == 2
    assert not list(folder.iterdir())


def opened_log(tmp_path: Path) -> PredictionLog:
    return PredictionLog(LogSettings(), str(tmp_path / "workspace"), "slices", tmp_path / "log", Measures())


WRITER = """
import sys, time
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from support.samples.log_rows import row
from deployments.endpoint.measures import Measures
from deployments.endpoint.prediction_log import PredictionLog
from deployments.endpoint.settings import LogSettings

log = PredictionLog(LogSettings(), sys.argv[1] + "/workspace", "slices", Path(sys.argv[1]) / "log", Measures())
log.add(row())
log._write_waiting()
print("written", flush=True)
time.sleep(60)
"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Another process that has written a row and goes on."""
    command = [sys.executable, "-c", WRITER, str(tmp_path), str(REPOSITORY), str(REPOSITORY / "tests")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"written\n"
        yield process
        process.kill()


def test_a_killed_process_s_rows_are_shipped_whatever_its_number_was(
    tmp_path: Path, writer: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: writer.pid)  # as in a container that was started again
    writer.kill()
    writer.wait()
    log = opened_log(tmp_path)
    log._adopt()
    assert len(ship(Workspace(str(tmp_path / "workspace")), "slices", tmp_path / "log")) == 1
    assert len(rows(tmp_path / "workspace")) == 1
    assert not list((tmp_path / "log").iterdir())


def test_a_living_process_s_file_is_left_to_it_though_its_number_is_unknown_here(
    tmp_path: Path, writer: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(pid: int, number: int) -> None:
        raise ProcessLookupError  # as in another container

    monkeypatch.setattr(os, "kill", gone)
    (before,) = (tmp_path / "log").iterdir()
    opened_log(tmp_path)._adopt()
    assert list((tmp_path / "log").iterdir()) == [before]
    monkeypatch.undo()


def test_its_own_file_is_not_taken_from_it(tmp_path: Path) -> None:
    log = opened_log(tmp_path)
    for _ in range(2):
        log.add(row())
        log._write_waiting()
        log._adopt()
    assert [path.suffix for path in (tmp_path / "log").iterdir()] == [module.OPEN]
    log._close_file()
    ship(Workspace(str(tmp_path / "workspace")), "slices", tmp_path / "log")
    assert len(rows(tmp_path / "workspace")) == 2


def test_shipping_twice_writes_once(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "2026-01-02T03-abc-1.jsonl").write_bytes(row().line(with_image=False))
    assert len(ship(Workspace(str(tmp_path / "workspace")), "slices", folder)) == 1
    assert ship(Workspace(str(tmp_path / "workspace")), "slices", folder) == []


@pytest.mark.parametrize("size", [0, 10])
def test_the_size_of_an_image_does_not_matter_to_its_row(size: int) -> None:
    assert (b'"image":null' in row(size).line(with_image=False)) and b"x" * 10 not in row(size).line(
        with_image=False
    )
