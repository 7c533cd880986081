"""Memory, disk and store give out in mid-run: the error says what and where, nothing is lost, a rerun goes on."""

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.runs.growing_data import png, scan
from support.runs.main_job import LOW_BARS, Done, lightbox
from support.services.azurite import ACCOUNT, KEY, NODE, PROGRAM, Azurite, _free_port, _wait_until_it_answers

from tasks.images.settings import Preprocessing
from tasks.stores.datastore import Datastore
from tasks.stores.object_files import ObjectFiles
from tasks.training.loop import Trainer
from tasks.training.recipes import PRESETS, FineTune, Optimisation

pytestmark = pytest.mark.slow

IMAGES = 24


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number in range(IMAGES):
        label = "yes" if number % 2 else "no"
        (folder / label).mkdir(exist_ok=True)
        (folder / label / f"{number}.png").write_bytes(png(scan(number, label)))
    return folder


@pytest.fixture(autouse=True)
def one_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """`fast` fine-tunes one epoch on small pictures."""
    recipe = FineTune(
        preprocessing=Preprocessing(size_px=64, crop_to_content=False),
        optimisation=Optimisation(epochs=1, batch_size=8),
        views=1,
        probe_views=1,
        inner_folds=2,
    )
    monkeypatch.setitem(PRESETS, "fast", recipe)


def retrain(images: Path, workspace: Path, cache: Path, *more: str) -> Done:
    return lightbox(
        *("retrain", "--images", images, "--workspace", workspace, "--name", "faulty", "--positive-class"),
        *("yes", "--preset", "fast", "--folds", "3", "--protocol", "holdout", *LOW_BARS, *more),
        cache=cache,
    )


def test_out_of_memory_halves_the_batch_and_says_so(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradients = Trainer._gradients

    def greedy(self: Trainer, batch: NDArray[np.int64], view: int) -> float:
        if self._state.micro_batch > 2:
            raise torch.OutOfMemoryError("no room on the device")
        return gradients(self, batch, view)

    monkeypatch.setattr(Trainer, "_gradients", greedy)
    out = tmp_path / "out.json"
    done = retrain(images, tmp_path / "ws", tmp_path / "cache", "--json", str(out))
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert result["notes"] == [
        f"member 0: out of memory: batches are now computed {size} images at a time" for size in (4, 2)
    ]
    assert "batches are now computed 2 images at a time" in Path(result["report"]).read_text()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a disk of the size asked for, or gives the one that is there that size."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def sized(size: str) -> Path:
        options = f"size={size}" + (",remount" if disk.is_mount() else "")
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], capture_output=True, check=False
        )
        if done.returncode != 0:
            pytest.skip("mounting a small disk needs root")
        return disk

    yield sized
    if disk.is_mount():
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.parametrize(
    ("place", "size"), [("the workspace", "3m"), ("the cache", "256k"), ("temporary files", "2m")]
)
def test_a_full_disk_is_named_with_its_room_and_a_rerun_goes_on(
    place: str,
    size: str,
    images: Path,
    tmp_path: Path,
    small_disk: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk = small_disk(size)
    workspace = disk / "ws" if place == "the workspace" else tmp_path / "ws"
    cache = disk / "cache" if place == "the cache" else tmp_path / "cache"
    if place == "temporary files":
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
    failed = retrain(images, workspace, cache)
    assert failed.returncode == 2, failed.stderr
    assert "Traceback" not in failed.stderr
    assert re.search(rf"[\d,]+ bytes are free for {place} {disk}", failed.stderr), failed.stderr
    assert "run again" in failed.stderr

    small_disk("400m")
    out = tmp_path / "out.json"
    done = retrain(images, workspace, cache, "--json", str(out))
    assert done.returncode == 0, done.stderr
    assert "catalogue" in json.loads(out.read_text())["reused"]


class StoppableAzurite:
    """An Azurite that can be stopped in the middle and started again on the same data."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, _free_port()
        self._server: subprocess.Popen[bytes] | None = None
        endpoint = f"http://127.0.0.1:{self._port}/{ACCOUNT}"
        self.azurite = Azurite(endpoint, ACCOUNT, KEY, folder / "access.log")

    def start(self) -> None:
        command = [
            str(NODE),
            str(PROGRAM),
            "--blobHost",
            "127.0.0.1",
            "--blobPort",
            str(self._port),
            "--location",
        ]
        command += [str(self._folder), "--skipApiVersionCheck", "--disableTelemetry"]
        with self.azurite.log.open("ab") as log:
            self._server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        _wait_until_it_answers(self._server, self._port, self.azurite.log)

    def stop(self) -> None:
        """Let it write its index and end; nothing listens afterwards."""
        if self._server is None:
            return
        os.killpg(self._server.pid, signal.SIGTERM)
        try:
            self._server.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
        self._server = None
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", self._port)) != 0


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoppableAzurite]:
    if not PROGRAM.exists():
        pytest.skip("Azurite is not installed: infra/azurite/install")
    server = StoppableAzurite(tmp_path_factory.mktemp("stoppable"))
    server.start()
    yield server
    server.stop()


@pytest.mark.service
def test_a_store_that_is_lost_in_mid_run(
    store: StoppableAzurite, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = store.azurite.new_container()
    for file in sorted(images.rglob("*.png")):
        container.upload_blob(f"scans/{file.relative_to(images).as_posix()}", file.read_bytes())
    url = f"az://{container.container_name}"
    environment = {"AZURE_STORAGE_CONNECTION_STRING": store.azurite.connection_string}
    read, lock = Datastore.read, threading.Lock()
    asked: list[str] = []
    lose_after, lose_at = [10], [""]

    def counted(self: Datastore, path: str) -> bytes:
        with lock:
            asked.append(path)
            if len(asked) == lose_after[0] + 1:
                store.stop()
            if len(asked) <= lose_after[0]:
                return read(self, path)
        return read(self, path)

    def losing(put: Callable[[ObjectFiles, str, bytes], Any]) -> Callable[[ObjectFiles, str, bytes], Any]:
        def write(self: ObjectFiles, path: str, data: bytes) -> Any:
            if lose_at[0] and path.endswith(lose_at[0]):
                store.stop()
            return put(self, path, data)

        return write

    monkeypatch.setattr(Datastore, "read", counted)
    monkeypatch.setattr(ObjectFiles, "write", losing(ObjectFiles.write))
    monkeypatch.setattr(ObjectFiles, "create", losing(ObjectFiles.create))

    def catalogue() -> Done:
        return lightbox(
            *("catalogue", "--images", f"{url}/scans", "--workspace", f"{url}/ws", "--name", "lost"),
            *("--positive-class", "yes", "--folds", "3"),
            cache=tmp_path / "cache",
            environment=environment,
        )

    lost = catalogue()
    assert lost.returncode == 2, lost.stderr
    assert f"{url}/scans" in lost.stderr
    assert "no answer" in lost.stderr
    assert "cure:" in lost.stderr
    assert KEY not in lost.stderr

    store.start()
    asked.clear()
    lose_after[0], lose_at[0] = IMAGES, "catalogue.parquet"
    lost = catalogue()
    assert lost.returncode == 2, lost.stderr
    assert f"cannot create {url}/ws" in lost.stderr
    assert len(asked) == IMAGES - 10, "what was fetched before the store went is not fetched again"

    store.start()
    asked.clear()
    lose_at[0] = ""
    done = catalogue()
    assert done.returncode == 0, done.stderr
    assert asked == []
