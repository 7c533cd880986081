"""Runs the main job in processes that are killed at one point after another, and once in one that is not.

A program of its own, started by `test_resume`: it imports everything once and forks a child for each attempt,
before any thread exists. The child kills itself with SIGKILL in the middle of a write or of a training step.

usage: python interrupted_runs.py FOLDER, prints one JSON object.
"""

import hashlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from support.runs.growing_data import png, scan

from flows.config import DataSet, TrainingSettings, WorkspaceLocation
from flows.retrain import retrain
from tasks.data.settings import CatalogueSettings, ImagesSource
from tasks.evaluation.settings import GateSettings
from tasks.images.settings import Preprocessing
from tasks.stores.fetch import ContentCache
from tasks.stores.files import LocalFiles
from tasks.training.loop import Trainer
from tasks.training.recipes import PRESETS, FineTune, Optimisation

EPOCHS = 3
IN_A_WRITE = {
    "ledger": r"/folds/",
    "catalogue": r"/catalogue\.parquet$",
    "image cache": r"/shard-.*\.npy$",
    "export": r"^runs/.*/bundle/.*\.onnx$",
    "predict": r"/unseen_logits/",
    "evaluate": r"/predictions\.parquet$",
    "publish": r"^models/.*/v\d+/.*\.onnx$",
    "report": r"/report/index\.html$",
    "promote": r"/aliases/",
}
POINTS = (
    *("fetch", "ledger", "catalogue", "image cache", "training"),
    *("export", "predict", "evaluate", "publish", "report", "promote"),
)


def kill_in_the_middle_of(point: str) -> None:
    """Let this process die when it comes to the point."""
    if point == "fetch":
        dying_call(ContentCache, "_fetch_one", lambda self, calls: calls == 9)
    elif point == "training":
        dying_call(
            Trainer, "_gradients", lambda self, _: self._state.epoch == 1 and self._state.step % 2 == 1
        )
    else:
        half_a_write(IN_A_WRITE[point])


def dying_call(owner: type, method: str, when: Callable[[Any, int], bool]) -> None:
    original, calls = getattr(owner, method), [0]

    def call(self: Any, *args: Any, **named: Any) -> Any:
        calls[0] += 1
        if when(self, calls[0]):
            die()
        return original(self, *args, **named)

    setattr(owner, method, call)


def half_a_write(pattern: str) -> None:
    original = LocalFiles._place

    def place(self: LocalFiles, path: str, fill: Callable[[IO[bytes]], object], move: Any) -> bool:
        def half(file: IO[bytes]) -> None:
            fill(file)
            file.flush()
            os.ftruncate(file.fileno(), file.tell() // 2)
            die()

        return original(self, path, half if re.search(pattern, path) else fill, move)

    LocalFiles._place = place  # type: ignore[method-assign]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def first_epochs(folder: Path) -> None:
    """Write down from which epoch on each training of this process goes."""
    original, seen = Trainer._gradients, set()

    def gradients(self: Trainer, batch: NDArray[np.int64], view: int) -> float:
        if id(self) not in seen:
            seen.add(id(self))
            with (folder / "first epochs.txt").open("a") as file:
                file.write(f"{self._state.epoch}\n")
        return original(self, batch, view)

    Trainer._gradients = gradients  # type: ignore[method-assign]


def run(folder: Path) -> dict[str, Any]:
    """The main job in the folder's workspace."""
    os.environ["LIGHTBOX_CACHE"] = str(folder / "cache")
    result = retrain.fn(
        images=ImagesSource(url=str(folder.parent / "images")),
        workspace=WorkspaceLocation(url=str(folder / "ws")),
        dataset=DataSet(name="killed", positive_class="yes"),
        checks=CatalogueSettings(n_folds=3, protocol="holdout"),
        training=TrainingSettings(preset="fast"),
        gate=GateSettings(min_recall=0.1, min_specificity=0, above_trivial_facts=False, on="value"),
    )
    told: dict[str, Any] = result.model_dump(mode="json")
    return told


def forked(work: Callable[[], Any], answer: Path) -> tuple[int, Any]:
    """Do the work in a child; the signal that ended it (0: none) and what it answered."""
    answer.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        answer_and_end(work, answer)
    return waited(child, answer)


def answer_and_end(work: Callable[[], Any], answer: Path) -> NoReturn:
    code = 1
    try:
        answer.write_text(json.dumps(work()))
        code = 0
    finally:
        os._exit(code)


def waited(child: int, answer: Path) -> tuple[int, Any]:
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status), None
    if os.WEXITSTATUS(status) != 0:
        raise SystemExit(f"a child failed: {answer}")
    return 0, json.loads(answer.read_text())


def half_written(workspace: Path) -> list[str]:
    """Files that a reader would see and could not read, or that do not hold what their bundle says."""
    return [
        file.relative_to(workspace).as_posix()
        for file in sorted(workspace.rglob("*"))
        if file.is_file() and ".tmp" not in file.parts and not is_whole(file)
    ]


def is_whole(file: Path) -> bool:
    try:
        if file.suffix == ".parquet":
            return bool(pq.ParquetFile(file).metadata.num_columns)
        if file.suffix == ".npy":
            return bool(np.load(file, mmap_mode="r", allow_pickle=False).size)
        if file.suffix == ".html":
            return file.read_text().rstrip().endswith("</html>")
        if file.suffix == ".json":
            content = json.loads(file.read_text())
            files = content.get("files", {}) if file.name == "bundle.json" and "models" in file.parts else {}
            return all(
                hashlib.sha256((file.parent / name).read_bytes()).hexdigest() == digest
                for name, digest in files.items()
            )
    except (OSError, ValueError):
        return False
    return True


def main(folder: Path) -> dict[str, Any]:
    recipe = FineTune(
        preprocessing=Preprocessing(size_px=64, crop_to_content=False),
        optimisation=Optimisation(epochs=EPOCHS, batch_size=8, warmup_epochs=0.5),
        views=2,
        probe_views=1,
        inner_folds=2,
    )
    pytest.MonkeyPatch().setitem(PRESETS, "fast", recipe)
    for number in range(36):
        label = "yes" if number % 2 else "no"
        (folder / "images" / label).mkdir(parents=True, exist_ok=True)
        (folder / "images" / label / f"{number}.png").write_bytes(png(scan(number, label)))
    undisturbed, killed = folder / "undisturbed", folder / "killed"
    undisturbed.mkdir()
    killed.mkdir()
    alone = os.fork()
    if alone == 0:
        answer_and_end(lambda: run(undisturbed), folder / "expected.json")
    attempts = []
    for point in POINTS:

        def attempt(point: str = point) -> None:
            kill_in_the_middle_of(point)
            if point == "export":
                first_epochs(folder)
            run(killed)

        ended_by, _ = forked(attempt, folder / "attempt.json")
        _, problems = forked(lambda: half_written(killed / "ws"), folder / "audit.json")
        leftovers = len(list((killed / "ws" / ".tmp").glob("*")))
        versions = sorted(path.parent.name for path in (killed / "ws" / "models").glob("*/v*/bundle.json"))
        attempts.append(
            {
                "point": point,
                "signal": ended_by,
                "half_written": problems,
                "leftovers": leftovers,
                "versions": versions,
            }
        )
    _, finished = forked(lambda: run(killed), folder / "finished.json")
    _, expected = waited(alone, folder / "expected.json")
    return {
        "attempts": attempts,
        "first_epochs": (folder / "first epochs.txt").read_text().split(),
        "finished": finished,
        "expected": expected,
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))  # noqa: T201
