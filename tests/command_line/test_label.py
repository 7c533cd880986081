"""The commands that need no Label Studio."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.runs.main_job import Done, lightbox

from tasks.data.settings import ImagesSource
from tasks.engine.run import open_run
from tasks.ingest import ingest


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with a store of four images under two classes and one unlabelled image, and a place for a workspace."""
    for place, name in enumerate(["no/1.png", "no/2.png", "yes/3.png", "yes/4.png", "5.png"]):
        file = tmp_path / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(place).integers(0, 255, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file)
    return tmp_path


def label(desk: Path, *arguments: str) -> Done:
    place = ("--workspace", str(desk / "ws"), "--name", "set")
    return lightbox(
        "label", *arguments, *place, cache=desk / "cache", environment={"LIGHTBOX_LABEL_STUDIO_TOKEN": ""}
    )


def test_labels_go_out_and_in_again_in_every_format(desk: Path) -> None:
    store = ("--images", str(desk / "images"))
    manifest = desk / "mine.csv"
    manifest.write_text("path,label\n5.png,yes\nno/2.png,yes\n")
    done = label(desk, "import", str(manifest), *store, "--by", "ann")
    assert done.returncode == 0 and "2 labels, 2 of them new" in done.stderr
    assert "0 of them new" in label(desk, "import", str(manifest), *store, "--by", "ann").stderr
    for kind in ("csv", "jsonl", "coco"):
        out = desk / f"out.{kind}"
        assert label(desk, "export", str(out), *store, "--format", kind).returncode == 0
        back = label(desk, "import", str(out), *store, "--by", f"{kind} file")
        assert back.returncode == 0 and "5 labels, 5 of them new" in back.stderr
    rows = [line.split(",") for line in (desk / "out.csv").read_text().splitlines()]
    assert [row[:2] for row in rows[1:]] == [
        ["5.png", "yes"],
        ["no/1.png", "no"],
        ["no/2.png", "yes"],
        ["yes/3.png", "yes"],
        ["yes/4.png", "yes"],
    ]
    assert [row[3] for row in rows[1:]] == ["person", "given", "person", "given", "given"]
    coco = json.loads((desk / "out.coco").read_text())
    assert coco["images"][0]["width"] == 40 and len(coco["annotations"]) == 5


def test_a_reviewer_settles_a_dispute_by_the_command(desk: Path) -> None:
    assert label(desk, "decide", "--image", "no/1.png", "--label", "yes", "--by", "ann").returncode == 2
    ingest(open_run(str(desk / "ws"), None, "set"), ImagesSource(url=str(desk / "images")))
    decide = ("decide", "--image", "no/1.png")
    assert "is yes from the next run on" in label(desk, *decide, "--label", "yes", "--by", "ann").stderr
    assert (
        "has no label now (disputed: 1 × no, 1 × yes"
        in label(desk, *decide, "--label", "no", "--by", "bob").stderr
    )
    settled = label(desk, *decide, "--reject", "--by", "eve", "--review")
    assert settled.returncode == 0 and "is left out from the next run on" in settled.stderr
    assert label(desk, *decide, "--by", "eve").returncode == 2
    assert label(desk, *decide, "--reject", "--label", "no", "--by", "eve").returncode == 2


def test_without_a_start_there_is_nothing_to_sync(desk: Path) -> None:
    for command in ("sync", "status", "finish"):
        done = label(desk, command)
        assert done.returncode == 2 and "no labelling of set was started" in done.stderr
    started = label(desk, "start", "--images", str(desk / "images"), "--no-assist")
    assert started.returncode == 2 and "no token for Label Studio" in started.stderr
    wrong = label(desk, "start", "--images", str(desk / "images"), "--precision", "1.5")
    assert wrong.returncode == 2 and "precision" in wrong.stderr
