"""A split that leaks: figures as given, figures without the leak, and nothing of the test set is learnt."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from support.runs.main_job import lightbox, retrain_arguments

from tasks.demo.data_set import DemoSummary

pytestmark = pytest.mark.slow

PLANTED = 4


def run(arguments: list[str], folder: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """The result and the predictions of a retrain that must succeed."""
    done = lightbox(*arguments, "--json", folder / "out.json", "--quiet", cache=folder / "cache")
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads((folder / "out.json").read_text())
    return result, pd.read_parquet(folder / "ws" / "runs" / result["run"] / "predictions.parquet")


def test_planted_copies_are_found_left_out_and_told(small_demo: DemoSummary, tmp_path: Path) -> None:
    """In a data set that was begun without the split, so that test images stand in every fold of its ledger."""
    images = tmp_path / "images"
    shutil.copytree(small_demo.images, images)
    begun = (
        "catalogue",
        "--images",
        images,
        "--workspace",
        tmp_path / "ws",
        "--name",
        "small",
        "--folds",
        "3",
    )
    assert lightbox(*begun, "--positive-class", "yes", cache=tmp_path / "cache").returncode == 0
    files = sorted(path.relative_to(images).as_posix() for path in images.rglob("*.*"))
    split = {path: "test" if number % 3 == 0 else "train" for number, path in enumerate(files)}
    planted = [path for path in files if split[path] == "test" and path.startswith("no/")][:PLANTED]
    for path in planted:  # recompressed copies among the training images
        data = io.BytesIO()
        with Image.open(images / path) as picture:
            picture.convert("RGB").save(data, "JPEG", quality=60)
        copy = f"no/planted {path.replace('/', ' ')}.jpg"
        (images / copy).write_bytes(data.getvalue())
        split[copy] = "train"
    table = tmp_path / "split.csv"
    rows = pd.DataFrame({"path": list(split), "seed_split": list(split.values())})
    rows.to_csv(table, index=False)

    result, predicted = run([*retrain_arguments(images, tmp_path / "ws", "--manifest", str(table))], tmp_path)
    leak, given, clean = result["leak"], result["evaluation"], result["evaluation_without_leaks"]
    assert given["protocol"] == "given_split"
    assert set(predicted["path"]) <= set(rows.query("seed_split == 'test'")["path"])
    assert given["n"] == leak["test_files"] == len(predicted)
    assert leak["test_files_with_copies"] >= PLANTED
    assert leak["training_files_left_out"] >= PLANTED
    assert clean["n"] == leak["test_files"] - leak["test_files_with_copies"]
    seen = json.loads((Path(result["bundle"]) / "training_images.json").read_text())["images"]
    assert not {image["group"] for image in seen} & set(predicted["group"])
    assert len(seen) <= leak["training_files"] - leak["training_files_left_out"]

    # The digests that a manifest gives are held against the images.
    rows.assign(sha256="0" * 64).to_csv(table, index=False)
    again = lightbox(
        *retrain_arguments(images, tmp_path / "ws", "--manifest", str(table)), cache=tmp_path / "cache"
    )
    assert again.returncode == 2
    assert "another SHA-256" in again.stderr


def test_the_published_split_of_the_real_images(brain_mri: Path, tmp_path: Path) -> None:
    arguments = [*retrain_arguments(brain_mri, tmp_path / "ws")]
    arguments += ["--manifest", str(brain_mri / "seed_split.csv")]
    result, predicted = run(arguments, tmp_path)
    leak = result["leak"]
    given = pd.read_csv(brain_mri / "seed_split.csv").query("seed_split != 'train'")
    assert set(predicted["path"]) == set(given["path"])
    assert (leak["test_files"], leak["images_on_both_sides"], leak["test_files_on_both_sides"]) == (
        66,
        11,
        25,
    )
    assert 25 < leak["test_files_with_copies"] <= 35
    assert result["evaluation"]["n"] == 66
    assert result["evaluation_without_leaks"]["n"] == 66 - leak["test_files_with_copies"]
    assert result["evaluation"]["recall"]["value"] >= 0.85
