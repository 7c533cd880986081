"""The figures of a search: drawn for any leaderboard, honest about what is missing."""

from typing import Any

import pytest

from tasks.automl.tried import Tried, telling
from tasks.pages.search_plots import learning_curves, parallel_coordinates, score_by_minutes


def row(number: int, **changes: Any) -> Tried:
    facts = {
        "number": number,
        "kind": "fine_tune",
        "backbone": "resnet18",
        "size_px": 224,
        "values": {"learning_rate": 1e-4 * number, "epochs": 3, "base": "resnet18 224 px letterbox"},
        "state": "survivor",
        "epochs": 3,
        "score": 0.8 + number / 100,
        "lower": 0.7,
        "upper": 0.95,
        "images": 100,
        "trainings": 5,
        "seconds": 12.0,
        "finished_at_seconds": 60.0 * number,
        "curve": [{"epoch": 1, "train_loss": 1.0}, {"epoch": 2, "train_loss": 0.5}],
    }
    return Tried.model_validate({**facts, **changes})


@pytest.mark.parametrize("smaller", [False, True])
def test_every_figure_is_drawn_and_small(smaller: bool) -> None:
    rows = [row(n) for n in range(1, 41)] + [row(41, kind="probe", values={"base": "x"}, curve=[], epochs=0)]
    figures = [
        score_by_minutes(rows, "AUC", smaller_is_better=smaller),
        parallel_coordinates(rows, "AUC", smaller_is_better=smaller),
        learning_curves(rows),
    ]
    for svg in figures:
        assert svg is not None
        assert svg.startswith("<svg")
        assert len(svg) < 60_000


def test_failed_recipes_and_probes_alone_leave_nothing_to_compare() -> None:
    failed = row(1, score=None, lower=None, upper=None, state="failed", reason="loss not finite", curve=[])
    probe = row(2, kind="probe", curve=[], epochs=0)
    assert parallel_coordinates([failed, probe], "AUC", smaller_is_better=False) is None
    assert learning_curves([failed, probe]) is None
    assert "<svg" in score_by_minutes([failed, probe], "AUC", smaller_is_better=False)


def test_only_what_differs_is_told() -> None:
    rows = [row(1), row(2)]
    assert telling(rows) == {"learning_rate"}
    assert rows[1].settings(telling(rows)) == "224 px letterbox, learning rate 0.0002"
