"""Predictive values at a stated prevalence: right by Bayes' rule, with intervals that cover."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.evaluation.intervals import Estimate, proportion, undefined
from tasks.evaluation.prevalence import at_prevalence, likelihood_ratios, restated


def rate(hits: int, n: int) -> Estimate:
    return proportion(np.arange(n) < hits, np.arange(n), absent="no image")


def test_a_textbook_case() -> None:
    """Sensitivity 0.9, specificity 0.91, 1 in 100: about 9 of 100 alarms are right."""
    found = at_prevalence(rate(900, 1000), rate(910, 1000), 0.01)
    assert found.ppv.value == pytest.approx(0.0917, abs=1e-4)
    assert found.npv.value == pytest.approx(0.9989, abs=1e-4)
    assert found.misses_per_1000.value == pytest.approx(1.0)
    assert found.alarms_per_1000.value == pytest.approx(89.1)
    ratios = likelihood_ratios(rate(900, 1000), rate(910, 1000))
    assert ratios.positive.value == pytest.approx(10.0)
    assert ratios.negative.value == pytest.approx(0.10989, abs=1e-5)


@given(
    st.integers(0, 40), st.integers(1, 40), st.integers(0, 40), st.integers(1, 40), st.floats(0.001, 0.999)
)
def test_figures_stand_in_their_intervals_and_follow_bayes(
    found: int, positives: int, clear: int, negatives: int, prevalence: float
) -> None:
    recall, specificity = rate(min(found, positives), positives), rate(min(clear, negatives), negatives)
    at = at_prevalence(recall, specificity, prevalence)
    assert recall.value is not None and specificity.value is not None
    right, wrong = prevalence * recall.value, (1 - prevalence) * (1 - specificity.value)
    if right + wrong == 0:
        assert at.ppv.value is None and at.ppv.reason == "no alarm was raised"
    else:
        assert at.ppv.value == pytest.approx(right / (right + wrong))
        assert at.ppv.lower is not None and at.ppv.upper is not None
        assert 0 <= at.ppv.lower < at.ppv.upper <= 1
    assert at.misses_per_1000.value == pytest.approx(1000 * prevalence * (1 - recall.value))
    assert at.alarms_per_1000.value == pytest.approx(1000 * wrong)


def test_the_rarer_the_finding_the_fewer_alarms_are_right() -> None:
    values = [at_prevalence(rate(90, 100), rate(80, 100), p).ppv.value or 0 for p in (0.5, 0.2, 0.05, 0.01)]
    assert values == sorted(values, reverse=True) and values[-1] < 0.05


def test_without_false_alarms_nothing_is_promised() -> None:
    at = at_prevalence(rate(50, 50), rate(50, 50), 0.01)
    assert at.ppv.value == 1.0 and at.ppv.lower is not None and at.ppv.lower < 0.2
    ratios = likelihood_ratios(rate(50, 50), rate(50, 50))
    assert ratios.positive.value is None and "no false alarm" in str(ratios.positive.reason)
    assert ratios.negative.value == 0.0 and ratios.negative.upper is not None and ratios.negative.upper > 0.05


def test_what_is_undefined_stays_so_with_its_reason() -> None:
    at = at_prevalence(undefined("no image of class yes"), rate(9, 10), 0.1)
    assert at.misses_per_1000.reason == "no image of class yes" and at.ppv.value is None
    bare = at_prevalence(Estimate(value=0.9, n=10, reason="too few"), rate(9, 10), 0.1)
    assert bare.ppv.value is not None and bare.ppv.lower is None


@pytest.mark.parametrize(
    ("positives", "negatives", "recall", "specificity", "prevalence"),
    [(155, 98, 0.95, 0.8, 0.02), (30, 200, 0.9, 0.95, 0.1), (60, 60, 0.8, 0.98, 0.3)],
)
def test_intervals_of_predictive_values_cover(
    positives: int, negatives: int, recall: float, specificity: float, prevalence: float
) -> None:
    rng = np.random.default_rng(0)
    right, wrong = prevalence * recall, (1 - prevalence) * (1 - specificity)
    clear, missed = (1 - prevalence) * specificity, prevalence * (1 - recall)
    covered = []
    for found, quiet in zip(
        rng.binomial(positives, recall, 400), rng.binomial(negatives, specificity, 400), strict=True
    ):
        at = at_prevalence(rate(found, positives), rate(quiet, negatives), prevalence)
        covered.append(
            [
                figure.lower is not None
                and figure.upper is not None
                and figure.lower <= truth <= figure.upper
                for figure, truth in ((at.ppv, right / (right + wrong)), (at.npv, clear / (clear + missed)))
            ]
        )
    assert np.mean(covered, axis=0).min() >= 0.93


@given(
    st.lists(st.floats(0.001, 0.999), min_size=1, max_size=9), st.floats(0.01, 0.99), st.floats(0.01, 0.99)
)
def test_restating_keeps_the_order_and_can_be_undone(
    chances: list[float], given_: float, stated: float
) -> None:
    there = restated(chances, given_, stated)
    assert np.allclose(restated(there, stated, given_), chances, atol=1e-6)
    assert (np.diff(there[np.argsort(chances)]) >= 0).all()
    assert restated([given_], given_, stated)[0] == pytest.approx(stated, abs=1e-6)
