"""The main job from the outside: what a run leaves, what a rerun reuses, what the model says."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from support.runs.main_job import FinishedRun, lightbox, retrain_arguments

pytestmark = pytest.mark.slow


def test_a_run_ends_with_figures_a_model_and_a_report(finished: FinishedRun) -> None:
    result = finished.result
    assert result["dataset"]["images"] == 60
    assert result["dataset"]["exact_copies"] == finished.demo.exact_copies
    assert result["dataset"]["rejects"] == {"truncated": 1}
    evaluation = result["evaluation"]
    assert evaluation["protocol"] == "cross_validation"
    assert evaluation["n"] == 59
    for name in ("recall", "specificity", "auc"):
        figure = evaluation[name]
        assert 0 <= figure["lower"] <= figure["value"] <= figure["upper"] <= 1
    assert sum(map(sum, evaluation["confusion_matrix"])) == 59
    assert result["decision"]["verdict"] == "promoted"
    assert result["champion"] == result["version"] == "v1"
    page = Path(result["report"]).read_text()
    assert "<html" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert (Path(result["bundle"]) / "bundle.json").is_file()


def test_what_a_run_leaves_is_for_its_user_alone(finished: FinishedRun) -> None:
    kept = [finished.workspace, *finished.workspace.rglob("*")]
    assert len(kept) > 50
    assert [path for path in kept if path.stat().st_mode & 0o077] == []
    assert finished.cache.stat().st_mode & 0o077 == 0


def test_predictions_agree_with_the_confusion_matrix_and_no_one_judges_what_he_saw(
    finished: FinishedRun,
) -> None:
    run = finished.workspace / "runs" / finished.result["run"]
    rows = pd.read_parquet(run / "predictions.parquet")
    table = pd.crosstab(rows["label"], rows["predicted"]).reindex(index=["no", "yes"], columns=["no", "yes"])
    assert table.fillna(0).astype(int).values.tolist() == finished.result["evaluation"]["confusion_matrix"]
    manifest = json.loads((Path(finished.result["bundle"]) / "bundle.json").read_text())
    seen = json.loads((Path(finished.result["bundle"]) / "training_images.json").read_text())["images"]
    for member in manifest["members"]:
        groups = {image["group"] for image in seen if member["index"] in image["members"]}
        judged = rows[rows["fold"].isin(member["held_out"])]
        assert len(judged) > 0
        assert not set(judged["group"]) & groups


def test_a_rerun_without_changes_reuses_the_stages(finished: FinishedRun, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    arguments = retrain_arguments(finished.demo.images, finished.workspace, "--json", str(out))
    done = lightbox(*arguments, cache=finished.cache)
    assert done.returncode == 0, done.stderr
    again = json.loads(out.read_text())
    reused = set(again["reused"])
    assert {"catalogue", "prepare", "export", "evaluate", "publish"} <= reused
    assert "Version v1, the model of this run, is in service: it passed." in Path(again["report"]).read_text()
    assert {f"fine-tune member {k}" for k in range(3)} <= reused
    assert again["version"] == again["champion"] == "v1"
    assert again["evaluation"] == finished.result["evaluation"]
    assert again["decision"] == finished.result["decision"]


def test_predict_prints_one_json_line_an_image(finished: FinishedRun, tmp_path: Path) -> None:
    good = sorted((finished.demo.images / "yes").iterdir())[0]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not an image")
    done = lightbox(
        "predict", "--bundle", finished.result["bundle"], good, broken, tmp_path / "gone", cache=tmp_path
    )
    first, second, third = map(json.loads, done.stdout.splitlines())
    assert first["label"] in ("no", "yes")
    assert sum(first["probabilities"].values()) == pytest.approx(1)
    assert second["reason"] == "not_an_image"
    assert third["reason"] == "unreadable"
    assert done.returncode == 1


def test_score_resumes_and_keeps_bad_images_as_rows(finished: FinishedRun, tmp_path: Path) -> None:
    images = tmp_path / "images"
    shutil.copytree(finished.demo.images, images)
    (images / "no" / "broken.jpg").write_bytes(b"not an image")
    out = tmp_path / "scores"
    arguments = (
        "score",
        "--bundle",
        finished.result["bundle"],
        "--images",
        images,
        "--out",
        out,
        "--json",
        "-",
    )
    first = json.loads(lightbox(*arguments, cache=tmp_path / "cache").stdout)
    again = json.loads(lightbox(*arguments, cache=tmp_path / "cache").stdout)
    assert (first["images"], first["rejected"], first["scored_now"]) == (61, 2, 61)
    assert again["scored_now"] == 0
    parquet, csv = pd.read_parquet(out / "scores.parquet"), pd.read_csv(out / "scores.csv")
    assert parquet["path"].tolist() == csv["path"].tolist()
    assert set(parquet.loc[parquet["Scored Labels"].isna(), "reason"]) == {"truncated", "not_an_image"}
    scored = parquet.dropna(subset="Scored Labels")
    sums = scored["Scored Probabilities_no"] + scored["Scored Probabilities_yes"]
    assert sums.to_numpy() == pytest.approx(1)


def test_models_are_listed_shown_promoted_and_rolled_back(finished: FinishedRun, tmp_path: Path) -> None:
    workspace = tmp_path / "ws"
    shutil.copytree(finished.workspace, workspace)
    where = ("--workspace", workspace, "--name", "small")
    listed = json.loads(lightbox("models", "list", *where, "--json", "-", cache=tmp_path).stdout)
    assert [(row["version"], row["aliases"]) for row in listed] == [("v1", ["champion"])]
    shown = json.loads(lightbox("models", "show", *where, cache=tmp_path).stdout)
    assert shown["manifest"]["metrics"]["recall"] == finished.result["evaluation"]["recall"]
    none_before = lightbox("models", "rollback", *where, "--reason", "test", cache=tmp_path)
    assert none_before.returncode == 2
    assert "cure:" in none_before.stderr
