"""Figures: well-formed, small, the same every time, and safe to stand together on one page."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

from tasks.evaluation.calibration import reliability_curve
from tasks.evaluation.calibration_figures import calibration_figures
from tasks.evaluation.net_benefit import net_benefit_curve
from tasks.pages import clinical_plots, plots, svg

_LIMIT_BYTES = 60_000


@dataclass(frozen=True)
class _Epoch:
    epoch: int
    train_loss: float
    validation_loss: float | None
    validation_auc: float | None


def _figures(n: int, yes: str) -> dict[str, Callable[[], str]]:
    rng = np.random.default_rng(0)
    labels = (rng.random(n) < 0.6).astype(int)
    scores = 1 / (1 + np.exp(-rng.normal(3 * labels - 1.5, 1.5)))
    positive, groups = labels == 1, np.arange(n)
    chance = rng.dirichlet(np.ones(8), n)
    eight = [f"{yes} {c}" for c in range(8)]
    counts = rng.integers(0, 300, (8, 8))
    many = np.eye(400, dtype=int) * 50 + rng.integers(0, 2, (400, 400))
    curves = {
        f"member {m}": [_Epoch(e, 0.9**e, 0.95**e, None if e == 0 else 0.9) for e in range(60)]
        for m in range(10)
    }
    return {
        "confusion": lambda: plots.confusion_matrix([[88, 10], [8, 147]], ["no", yes]),
        "confusion-8": lambda: plots.confusion_matrix(counts.tolist(), eight),
        "confusion-400": lambda: plots.confusion_matrix(many.tolist(), [str(c) for c in range(400)]),
        "roc": lambda: plots.roc_curve(positive, scores, groups, operating=(0.1, 0.9)),
        "roc-classes": lambda: plots.roc_curves_by_class(rng.integers(0, 8, n), chance, eight),
        "precision-recall": lambda: plots.precision_recall_curve(positive, scores, groups),
        "trade-off": lambda: plots.threshold_trade_off(positive, scores, 0.4),
        "scores": lambda: plots.score_histogram(positive, scores, 0.4, positive_class=yes),
        "reliability": lambda: clinical_plots.reliability_diagram(
            reliability_curve(positive, scores, groups)
        ),
        "reliability-smooth": lambda: clinical_plots.reliability_diagram(
            reliability_curve(positive, scores, groups),
            calibration_figures(positive, scores, groups).curve,
            name="reliability-smooth",
        ),
        "net-benefit": lambda: clinical_plots.net_benefit(
            net_benefit_curve(positive, scores, groups, 0.02, others={yes: scores})
        ),
        "training": lambda: plots.training_curves(curves),
    }


@pytest.mark.parametrize("name", sorted(_figures(2, "yes")))
def test_a_figure_is_well_formed_small_and_needs_nothing_from_outside(name: str) -> None:
    drawn = _figures(20_000 if name in {"trade-off", "roc"} else 253, "yes")[name]()
    root = ElementTree.fromstring(drawn)  # noqa: S314
    assert root.get("viewBox") and root.get("role") == "img"
    assert len(drawn.encode()) < _LIMIT_BYTES
    outside = [ref for ref in re.findall(r'href="([^"]*)"', drawn) if not ref.startswith(("#", "data:"))]
    assert outside == [] and "<style" not in drawn and "<script" not in drawn


def test_labels_from_the_data_stay_text() -> None:
    figures = _figures(253, "<b>$x_1$&")
    for name in ("confusion", "confusion-8", "scores", "roc-classes"):
        drawn = figures[name]()
        text = "".join(ElementTree.fromstring(drawn).itertext())  # noqa: S314
        assert "<b>" not in drawn and "<b>$x_1$&" in text, name


def test_the_same_data_gives_the_same_bytes() -> None:
    one, other = (_figures(253, "yes") for _ in range(2))
    for name in ("roc", "scores", "training"):
        assert one[name]() == other[name](), name


def test_figures_on_one_page_share_no_id_and_refer_only_to_themselves() -> None:
    drawn = [
        make() for name, make in _figures(253, "yes").items() if name not in {"confusion-8", "confusion-400"}
    ]
    drawn.append(plots.confusion_matrix([[5, 1], [0, 4]], ["a", "b"], name="confusion-champion"))
    ids = [re.findall(r' id="([^"]+)"', figure) for figure in drawn]
    flat = [name for names in ids for name in names]
    assert len(flat) == len(set(flat))
    for names, figure in zip(ids, drawn, strict=True):
        used = re.findall(r'href="#([^"]+)"', figure) + re.findall(r"url\(#([^)]+)\)", figure)
        assert set(used) <= set(names)


def test_numbers_in_labels_are_not_shortened() -> None:
    drawn = plots.confusion_matrix([[5, 1], [0, 4]], ["1.23456", "b"])
    assert "1.23456" in "".join(ElementTree.fromstring(drawn).itertext())  # noqa: S314


def test_drawing_leaves_matplotlibs_settings_alone() -> None:
    before = dict(matplotlib.rcParams)
    plots.confusion_matrix([[5, 1], [0, 4]], ["a", "b"])
    assert dict(matplotlib.rcParams) == before


def test_a_class_without_images_is_drawn_without_a_band() -> None:
    drawn = plots.roc_curve(np.ones(9, dtype=bool), np.linspace(0, 1, 9), np.arange(9))
    assert "95 % band" not in drawn and "this model" in drawn


def test_a_name_that_cannot_be_an_id_is_refused() -> None:
    with svg.drawing() as figure, pytest.raises(ValueError, match="lower case"):
        svg.to_svg(figure, 'x" onload="', "title", "description")
