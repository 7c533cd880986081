"""Other ways to keep images apart, and more than two classes, all the way to a registered model."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from main_job import lightbox, retrain_arguments

from tasks.data.demo import DemoSummary

pytestmark = pytest.mark.slow


def _run(arguments: list[str], tmp_path: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    out = tmp_path / "out.json"
    done = lightbox(*arguments, "--json", out, "--quiet", cache=tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(out.read_text())
    return result, pd.read_parquet(tmp_path / "ws" / "runs" / result["run"] / "predictions.parquet")


def test_a_hold_out_is_judged_once_and_a_refit_is_served(small_demo: DemoSummary, tmp_path: Path) -> None:
    more = ("--protocol", "holdout", "--served", "refit")
    result, rows = _run([*retrain_arguments(small_demo.images, tmp_path / "ws", *more)], tmp_path)
    assert result["evaluation"]["protocol"] == "holdout"
    assert set(rows["fold"]) == {0}
    assert result["evaluation"]["n"] == len(rows) < 59
    manifest = json.loads((Path(result["bundle"]) / "bundle.json").read_text())
    assert manifest["served"] == "refit"
    assert [member["held_out"] for member in manifest["members"]] == [[0, 1]]


def test_three_classes_are_judged_by_macro_figures(small_demo: DemoSummary, tmp_path: Path) -> None:
    images = tmp_path / "images"
    for file in sorted(path for path in small_demo.images.rglob("*") if path.is_file()):
        label = file.parent.name
        if label == "yes":
            label = "left" if int.from_bytes(file.read_bytes()[-64:-60], "big") % 2 else "right"
        (images / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, images / label)
    arguments = [*retrain_arguments(images, tmp_path / "ws")]
    place = arguments.index("--positive-class")
    del arguments[place : place + 2]
    result, rows = _run(arguments, tmp_path)
    evaluation = result["evaluation"]
    assert evaluation["classes"] == ["left", "no", "right"]
    assert evaluation["positive_class"] is None
    assert [len(row) for row in evaluation["confusion_matrix"]] == [3, 3, 3]
    assert len(evaluation["per_class"]) == 3
    assert rows[["probability_left", "probability_no", "probability_right"]].sum(
        axis=1
    ).to_numpy() == pytest.approx(1)
