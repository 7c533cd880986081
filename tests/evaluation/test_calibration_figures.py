"""Calibration in figures: right for probabilities that are right, and said where they are not."""

import numpy as np
import pytest
from scipy.special import expit, logit

from tasks.evaluation.calibration_figures import (
    calibration_figures,
    observed_over_expected,
    shift_in_the_large,
    slope_and_intercept,
)
from tasks.evaluation.intervals import Estimate


def drawn(
    n: int,
    *,
    share: float = 0.3,
    spread: float = 1.5,
    copies: int = 1,
    shift: float = 0.0,
    slope: float = 1.0,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, probabilities and groups; the truth follows shift + slope × the predicted log-odds."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n // copies), copies)
    scores = (rng.normal(size=n // copies) * spread + np.log(share / (1 - share)))[groups]
    truth = rng.random(n // copies)[groups] < expit(shift + slope * scores)
    return truth, expit(scores), groups


def covers(figure: Estimate, truth: float) -> bool:
    return figure.lower is not None and figure.upper is not None and figure.lower <= truth <= figure.upper


def test_right_probabilities_are_found_to_be_right() -> None:
    found = calibration_figures(*drawn(4000))
    assert covers(found.ratio, 1) and covers(found.in_the_large, 0)
    assert covers(found.slope, 1) and covers(found.intercept, 0)
    assert found.slope.value == pytest.approx(1, abs=0.1)
    assert found.ece < found.ece_by_chance + 0.01
    inside = [point.lower <= point.predicted <= point.upper for point in found.curve]
    assert len(inside) > 20 and np.mean(inside) > 0.9


def test_a_shift_and_a_wrong_slope_are_found() -> None:
    found = calibration_figures(*drawn(4000, shift=-1.0, slope=0.5))
    assert found.slope.value == pytest.approx(0.5, abs=0.1)
    assert found.intercept.value == pytest.approx(-1.0, abs=0.2)
    assert (found.ratio.upper is not None and found.ratio.upper < 1) or (
        found.ratio.lower is not None and found.ratio.lower > 1
    )
    assert found.ece > found.ece_by_chance + 0.02


def test_balanced_weights_show_as_what_they_are() -> None:
    """A network that was trained as if both classes were equally common, on one finding in ten."""
    truth, chance, groups = drawn(3000, share=0.1, spread=2.0)
    found = calibration_figures(truth, expit(logit(chance) + np.log(9)), groups)
    assert found.in_the_large.upper is not None and found.in_the_large.upper < -1.5
    assert found.scaled_brier.value is not None and found.scaled_brier.value < 0.2


def test_always_saying_the_prevalence_scores_nothing() -> None:
    truth = np.arange(100) < 30
    found = calibration_figures(truth, np.full(100, 0.3), np.arange(100))
    assert found.scaled_brier.value == pytest.approx(0.0)
    assert found.slope.value is None and found.curve == ()


def test_classes_that_are_fully_apart_have_no_slope_and_say_why() -> None:
    truth = np.arange(60) < 30
    found = calibration_figures(truth, np.where(truth, 0.9, 0.1), np.arange(60))
    assert found.slope.value is None and "apart" in str(found.slope.reason)
    assert found.ratio.value == pytest.approx(1.0)


def test_one_group_tells_nothing_of_how_sure_it_is() -> None:
    truth, chance, _ = drawn(60)
    found = calibration_figures(truth, chance, np.zeros(60))
    assert found.ratio.lower is None and found.slope.lower is None and found.curve == ()


@pytest.mark.parametrize(
    ("n", "share", "spread", "copies"),
    [(100, 0.3, 1.5, 1), (253, 0.6, 3.0, 4), (125, 0.5, 2.0, 5), (500, 0.1, 2.0, 1)],
)
def test_intervals_cover_with_copies_and_few_groups(n: int, share: float, spread: float, copies: int) -> None:
    covered: dict[str, list[bool]] = {"ratio": [], "shift": [], "slope": []}
    for seed in range(1000):
        truth, chance, groups = drawn(n - n % copies, share=share, spread=spread, copies=copies, seed=seed)
        flags = truth.astype(np.float64)
        covered["ratio"].append(covers(observed_over_expected(flags, chance, groups), 1))
        covered["shift"].append(covers(shift_in_the_large(flags, chance, groups), 0))
        slope, _ = slope_and_intercept(flags, chance, groups)
        covered["slope"] += [covers(slope, 1)] if slope.value is not None else []
    assert min(np.mean(hits) for hits in covered.values()) >= 0.93
    assert len(covered["slope"]) > 980
