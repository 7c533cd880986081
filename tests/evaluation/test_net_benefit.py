"""Net benefit: by its definition, above acting on all or none only for a model that knows something."""

import numpy as np
import pytest
from scipy.special import expit

from tasks.evaluation.net_benefit import GRID, HARM_RATIOS, net_benefit_curve


def drawn(n: int = 400, share: float = 0.3, apart: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.random(n) < share
    scores = rng.normal(size=n) + apart * truth
    return truth, expit(apart * scores - apart**2 / 2 + np.log(share / (1 - share)))


def test_it_is_what_vickers_and_elkin_define() -> None:
    truth, chance = drawn()
    share = float(truth.mean())
    curve = net_benefit_curve(truth, chance, np.arange(truth.size), share)
    for at, value in zip(curve.acts_from, curve.model, strict=True):
        acted = chance >= at
        expected = (acted & truth).sum() / truth.size - (acted & ~truth).sum() / truth.size * at / (1 - at)
        assert value == pytest.approx(expected)
    assert curve.act_on_all[GRID.index(0.5)] == pytest.approx(2 * share - 1)
    assert all(
        low <= mid <= high for low, mid, high in zip(curve.lower, curve.model, curve.upper, strict=True)
    )


def test_a_point_says_how_many_false_alarms_are_saved() -> None:
    truth, chance = drawn()
    curve = net_benefit_curve(truth, chance, np.arange(truth.size), float(truth.mean()))
    assert [point.false_alarms_for_a_miss for point in curve.points] == list(HARM_RATIOS)
    point = curve.points[HARM_RATIOS.index(1)]
    assert point.model.value is not None
    assert point.alarms_saved_per_100 == pytest.approx(100 * (point.model.value - point.act_on_all))
    assert point.gain.lower is not None and point.gain.lower > 0


def test_a_coin_is_shown_to_be_worth_nothing() -> None:
    truth, _ = drawn(600)
    chance = np.random.default_rng(1).random(600)
    curve = net_benefit_curve(truth, chance, np.arange(600), float(truth.mean()))
    assert all(point.gain.lower is None or point.gain.lower <= 0 for point in curve.points)


def test_at_another_prevalence_the_classes_count_in_its_shares() -> None:
    truth, chance = drawn()
    curve = net_benefit_curve(truth, chance, np.arange(truth.size), 0.05, others={"champion": chance})
    place = 30
    at = GRID[place]
    acted = chance >= at
    expected = 0.05 * acted[truth].mean() - 0.95 * acted[~truth].mean() * at / (1 - at)
    assert curve.model[place] == pytest.approx(expected)
    assert curve.others == {"champion": curve.model}
