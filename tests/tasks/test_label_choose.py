"""What is asked follows from the store, the last report and the log of the endpoint; damaged images are left out."""

import hashlib
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tasks.data.settings import ImagesSource
from tasks.demo.data_set import DemoSummary
from tasks.engine.kept import KeptResult, StageUse, keep_result, result_path, tell_use
from tasks.engine.run import Run, open_run, write_file
from tasks.errors import LabellingError
from tasks.evaluation.suspects import SUSPECT_COLUMNS
from tasks.ingest import ingest
from tasks.label_begin import begin_labelling
from tasks.label_choose import TaskQueue, choose_tasks, read_queue
from tasks.labelling.settings import LabellingSettings
from tasks.models.endpoint_log import SCHEMA

SETTINGS = LabellingSettings(assist=False)


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two labelled images of each class, one unlabelled, one under two names and labels, one that is no image."""
    folder = tmp_path / "images"
    for name, data in {
        "no/1.png": png(1),
        "no/2.png": png(2),
        "yes/3.png": png(3),
        "yes/4.png": png(4),
        "5.png": png(5),
        "no/6.png": png(6),
        "yes/6 again.png": png(6),
        "damaged.png": png(7)[:200],
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def chosen(
    run: Run, images: Path, settings: LabellingSettings = SETTINGS
) -> tuple[TaskQueue, dict[str, str]]:
    source = ImagesSource(url=str(images))
    listing = ingest(run, source).listing
    found = choose_tasks(run, listing, begin_labelling(run, source, listing, settings, False))
    queue = read_queue(run)
    return found, dict(zip(queue["path"], queue["reason"], strict=True))


def test_unlabelled_and_conflicting_images_are_asked_about_and_damaged_ones_not(
    images: Path, tmp_path: Path
) -> None:
    found, reasons = chosen(open_run(str(tmp_path / "ws"), None, "set"), images)
    assert reasons == {"no/6.png": "conflict", "5.png": "unlabelled"}
    assert (found.contents, found.unusable, found.gone) == (7, 1, 0)
    assert found.assistance.labels == {"no": 2, "yes": 2}
    assert found.assistance.why_none == "assistance is switched off"


def test_what_the_last_report_of_this_data_set_doubts_is_asked_about(images: Path, tmp_path: Path) -> None:
    run = open_run(str(tmp_path / "ws"), None, "set")
    workspace = run.open_workspace()
    for number, (name, data) in enumerate([("set", png(1)), ("set", png(3)), ("other", png(4))]):
        frame = pd.DataFrame([["?", sha(data), "no", "yes", 0.1, 1]], columns=SUSPECT_COLUMNS)
        suspects = write_file(workspace, f"runs/{number}/suspects.parquet", frame.to_parquet(index=False))
        entry = result_path("report", f"{number}")
        record = {"suspects": suspects.model_dump()}
        keep_result(workspace, entry, KeptResult(stage="report", name=name, run=f"{number}", record=record))
        use = StageUse(name=name, stage="report", entry=entry, files=(suspects.path,), reused=False)
        tell_use(workspace, f"{number}", use)
    _, reasons = chosen(run, images)
    assert reasons["yes/3.png"] == "suspect" and "no/1.png" not in reasons and "yes/4.png" not in reasons
    _, reasons = chosen(run, images, SETTINGS.model_copy(update={"suspects": False}))
    assert "suspect" not in reasons.values()


def row(data: bytes, probability: float, **more: Any) -> dict[str, Any]:
    """What the endpoint's log says of one image."""
    facts = {
        "time": 0,
        "request_id": "1",
        "deployment": "blue",
        "version": "v1",
        "label": "yes",
        "seconds": 0.1,
    }
    judged = {"classes": ["no", "yes"], "probabilities": [1 - probability, probability], "rejected": None}
    return facts | judged | {"sha256": sha(data), "mirrored": False, "image": data} | more


def log(run: Run, *rows: dict[str, Any]) -> None:
    """Write one hour of the endpoint's log."""
    data = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), SCHEMA), data)
    run.open_workspace().write("endpoint-log/set/2026-01-01/10.parquet", data.getvalue())


def test_what_the_endpoint_was_unsure_of_is_asked_about(images: Path, tmp_path: Path) -> None:
    run = open_run(str(tmp_path / "ws"), None, "set")
    fresh, sure, known = png(20), png(21), png(1)
    log(
        run,
        row(fresh, 0.55),
        row(sure, 0.95),
        row(known, 0.55),
        row(png(22), 0.55, mirrored=True),
        row(png(23), 0.55, rejected="too_small"),
        row(png(24), 0.55, image=None),
        row(png(5), 0.6),
    )
    _, reasons = chosen(run, images)
    assert reasons == {
        "no/6.png": "conflict",
        "5.png": "uncertain",
        f"endpoint-log/{sha(fresh)}": "uncertain",
    }
    _, reasons = chosen(run, images, SETTINGS.model_copy(update={"low_confidence": 0.0}))
    assert reasons == {"no/6.png": "conflict", "5.png": "unlabelled"}


def test_what_the_endpoint_was_sure_of_is_asked_about_where_it_is_unlike_the_store(
    small_demo: DemoSummary, tmp_path: Path
) -> None:
    run, images = open_run(str(tmp_path / "ws"), None, "set"), tmp_path / "images"
    shutil.copytree(small_demo.images, images)
    ours = next(path for path in sorted((images / "no").iterdir()) if path.stat().st_size > 1_000)
    usual, strange = ours.read_bytes(), png(1)
    ours.unlink()
    log(run, row(usual, 0.99), row(strange, 0.99))
    asked = LabellingSettings(suspects=False)
    _, reasons = chosen(run, images, asked)
    assert {path: why for path, why in reasons.items() if "endpoint-log" in path} == {
        f"endpoint-log/{sha(strange)}": "unlike"
    }
    _, reasons = chosen(run, images, SETTINGS)
    assert not any("endpoint-log" in path for path in reasons), "without features nothing can be unlike"


def test_classes_are_those_of_the_data_and_grow_with_them(images: Path, tmp_path: Path) -> None:
    run = open_run(str(tmp_path / "ws"), None, "set")
    source = ImagesSource(url=str(images))
    first = begin_labelling(run, source, ingest(run, source).listing, SETTINGS, False)
    assert first.settings.classes == ("no", "yes")
    (images / "maybe").mkdir()
    (images / "maybe" / "8.png").write_bytes(png(8))
    grown = begin_labelling(run, source, ingest(run, source).listing, SETTINGS, False)
    assert grown.settings.classes == ("no", "yes", "maybe"), "keys stay where they are"
    with pytest.raises(LabellingError, match="cannot be asked for"):
        named = SETTINGS.model_copy(update={"classes": ("one",)})
        begin_labelling(run, source, ingest(run, source).listing, named, False)
