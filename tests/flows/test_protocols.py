"""Other ways to keep images apart, and more than two classes, all the way to a registered model."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.runs.main_job import lightbox, retrain_arguments

from tasks.demo.data_set import DemoSummary

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
