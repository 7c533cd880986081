"""Four classes, one twenty times as common as another, all the way: figures, gate, report, artifacts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from support.runs.main_job import LOW_BARS, lightbox

from tasks.audit import AuditFindings
from tasks.evaluation.gate import Decision
from tasks.evaluation.metrics import Evaluation
from tasks.models.bundle import Prediction, load_bundle
from tasks.pages.outcome import Outcome
from tasks.pages.run_summary import confusion_rows, summary_markdown

pytestmark = pytest.mark.slow

SIZES = {"blank": 80, "disc": 14, "ring": 8, "bars": 4}


def _drawn(kind: str, number: int) -> np.ndarray:
    """A cloudy ground, alone or with a shape of its own size and place: uint8 (96, 96, 3)."""
    rng = np.random.default_rng(number)
    clouds = Image.fromarray(rng.integers(20, 140, (7, 7), dtype=np.uint8)).resize(
        (96, 96), Image.Resampling.BICUBIC
    )
    grey = np.asarray(clouds, np.float64) + rng.normal(0, 8, (96, 96))
    y, x = np.mgrid[:96, :96]
    row, column = rng.uniform(30, 66, 2)
    distance, radius = np.hypot(y - row, x - column), rng.uniform(12, 22)
    if kind == "disc":
        grey[distance < radius] = 170
    elif kind == "ring":
        grey[np.abs(distance - radius) < 4] = 170
    elif kind == "bars":
        angle = rng.uniform(0, np.pi)
        grey[np.sin((np.cos(angle) * x + np.sin(angle) * y) / rng.uniform(1.5, 3)) > 0.3] = 170
    return np.clip(grey, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the set, 106 pictures, for a workspace and a cache that the runs share."""
    place = tmp_path_factory.mktemp("four")
    folder = place / "images"
    number = 0
    for kind, count in SIZES.items():
        (folder / kind).mkdir(parents=True)
        for _ in range(count):
            number += 1
            Image.fromarray(_drawn(kind, number)).save(folder / kind / f"{number}.png")
    return place


def _retrain(place: Path, *more: str) -> dict[str, Any]:
    out = place / "out.json"
    arguments = (
        "--images",
        place / "images",
        "--workspace",
        place / "ws",
        "--name",
        "four",
        "--preset",
        "fast",
        "--folds",
        "3",
    )
    done = lightbox("retrain", *arguments, *more, "--json", out, "--quiet", cache=place / "cache")
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(out.read_text())
    return result


def test_macro_figures_all_the_way(place: Path) -> None:
    result = _retrain(place, *LOW_BARS)
    evaluation = Evaluation.model_validate(result["evaluation"])
    assert evaluation.classes == ["bars", "blank", "disc", "ring"] and evaluation.positive_class is None
    assert [figures.n for figures in evaluation.per_class] == [4, 80, 14, 8]
    assert [sum(row) for row in evaluation.confusion_matrix] == [4, 80, 14, 8]
    recalls = [figures.recall.value for figures in evaluation.per_class]
    for name in ("recall", "specificity", "precision", "f1", "auc"):
        macro = getattr(evaluation, name)
        assert macro.lower is not None and macro.lower < macro.value <= macro.upper, name
    assert evaluation.recall.value == pytest.approx(
        np.mean([value for value in recalls if value is not None])
    )
    for figures in evaluation.per_class:
        assert figures.recall.lower is not None and figures.recall.upper is not None
        assert figures.auc.lower is not None and figures.auc.value is not None and figures.auc.value > 0.7
    widths = [
        f.recall.upper - f.recall.lower for f in evaluation.per_class if f.recall.upper and f.recall.lower
    ]
    assert widths[0] == max(widths), "4 images are judged least surely"
    assert result["decision"]["verdict"] == "too few"
    assert "bars" in result["decision"]["reasons"][0], "whose 4 images are copies of 3"
    assert result["audit"]["balance"]["ratio"] == 20
    assert any("bars (" in warning for warning in result["audit"]["warnings"])
    assert any("20 times the images" in warning for warning in result["audit"]["warnings"])

    html = Path(result["report"]).read_text()
    for name in SIZES:
        assert f'<th scope="row">{name}</th>' in html, "each class against the rest"
    assert "would be given the wrong class" in html and "Hardest class" in html
    assert "20 times the images" in html and 'id="threshold"' not in html

    decision = Decision.model_validate(result["decision"])
    findings = AuditFindings.model_validate(result["audit"])
    outcome = Outcome("four", result["version"], decision, None, is_champion=False)
    text = summary_markdown(outcome, evaluation, findings.warnings, result["report"])
    assert "| recall of bars |" in text and "20 times the images" in text
    rows = confusion_rows(evaluation)
    assert [row["truth"] for row in rows] == evaluation.classes and rows[1][
        "blank"
    ] == evaluation.confusion_matrix[1][1]


def test_a_named_class_is_what_the_gate_judges(place: Path) -> None:
    result = _retrain(place, "--positive-class", "ring", "--min-recall", "0.999")
    evaluation = Evaluation.model_validate(result["evaluation"])
    assert evaluation.figures_of == "class ring"
    assert evaluation.recall == next(f for f in evaluation.per_class if f.name == "ring").recall
    assert result["decision"]["reasons"][0].startswith("recall of ring")
    assert result["decision"]["verdict"] == "refused", "8 images cannot show a recall of 0.999"
    assert "no number of images can show it" in result["decision"]["reasons"][0]
    html = Path(result["report"]).read_text()
    assert "“ring” images would be missed" in html and 'id="threshold"' in html

    rows = pd.read_parquet(place / "ws" / "runs" / result["run"] / "predictions.parquet")
    raised = rows["probability_ring"] >= rows["threshold"]
    assert ((rows["predicted"] == "ring") == raised).all()
    others = rows.loc[~raised, [f"probability_{name}" for name in ("bars", "blank", "disc")]]
    assert (
        rows.loc[~raised, "predicted"] == others.idxmax(axis=1).astype(str).str.removeprefix("probability_")
    ).all()
    bundle = load_bundle(result["bundle"])
    assert bundle.manifest.threshold is not None and bundle.manifest.positive_class == "ring"
    (said,) = bundle.predict_bytes([next((place / "images" / "blank").iterdir()).read_bytes()])
    assert isinstance(said, Prediction) and set(said.probabilities) == set(SIZES)
