"""Words about clinical figures: nothing rounds to all or none, and each verdict is the one that the interval allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.evaluation.calibration_figures import CalibrationFigures
from tasks.evaluation.intervals import Estimate, undefined
from tasks.pages import clinical_words as words


def estimate(value: float, lower: float, upper: float) -> Estimate:
    return Estimate(value=value, lower=lower, upper=upper, n=100)


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        (estimate(0.35, 0.213, 0.518), "35 (21 to 52)"),
        (estimate(0.9991, 0.9972, 0.99993), "99.9 (99.7 to over 99.9)"),
        (estimate(0.0004, 0.0, 0.02), "under 0.1 (0 to 2.0)"),
        (Estimate(value=1.0, n=9, reason="too few"), "100 (no interval: too few)"),
        (undefined("no alarm was raised"), "no alarm was raised"),
    ],
)
def test_of_a_hundred(figure: Estimate, said: str) -> None:
    assert words.of_100(figure) == said


@given(st.floats(0, 1))
def test_only_all_is_a_hundred_and_only_none_is_zero(share: float) -> None:
    said = words.of_100(estimate(share, share, share)).split(" (")[0]
    assert (said == "100") == (share == 1)
    assert (said == "0") == (share == 0)


@pytest.mark.parametrize(
    ("prevalence", "said"),
    [
        (0.61, "61 in 100"),
        (0.02, "2 in 100"),
        (0.015, "1.5 in 100"),
        (0.004, "4 in 1,000"),
        (0.0005, "0.5 in 1,000"),
    ],
)
def test_a_prevalence_is_told_in_whole_people(prevalence: float, said: str) -> None:
    assert words.in_100(prevalence) == said


@pytest.mark.parametrize(
    ("ratio", "slope", "said"),
    [
        (
            estimate(0.79, 0.7, 0.9),
            estimate(0.49, 0.3, 0.7),
            ("too high: do not read", "too extreme: a high"),
        ),
        (estimate(1.3, 1.1, 1.6), estimate(2, 1.5, 2.5), ("too low: do not read", "too timid: a high")),
        (
            estimate(1, 0.9, 1.1),
            estimate(1, 0.8, 1.2),
            ("not shown to be too high", "not shown to be too extreme"),
        ),
        (estimate(1, 0.9, 1.1), undefined("apart"), ("not shown to be too high", "cannot be told: apart")),
    ],
)
def test_calibration_is_judged_by_what_the_interval_allows(
    ratio: Estimate, slope: Estimate, said: tuple[str, str]
) -> None:
    figures = CalibrationFigures(
        expected=0.124,
        observed=0.098,
        ratio=ratio,
        in_the_large=estimate(0, -1, 1),
        slope=slope,
        intercept=estimate(0, -1, 1),
        scaled_brier=estimate(0.5, 0.4, 0.6),
        ece=0.03,
        ece_by_chance=0.03,
        curve=(),
    )
    sentence = words.how_believable(figures, 500)
    assert sentence.startswith("The probabilities promise 62 findings among the 500 images; there are 49.")
    assert all(part in sentence for part in said)


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (estimate(0.1, 0.01, 0.2), "yes"),
        (estimate(0.1, -0.01, 0.2), "not shown"),
        (estimate(-0.1, -0.2, -0.01), "no, worse"),
        (Estimate(value=0.0, n=9, reason="too few groups"), "cannot be told: too few groups"),
    ],
)
def test_worth_is_what_is_shown(gain: Estimate, said: str) -> None:
    assert words.worth_it(gain) == said


@pytest.mark.parametrize(
    ("p_value", "said"),
    [
        (0.0005, "it does not do equally well (chance alone does as much less than once in 200 times)"),
        (0.012, "it does not do equally well (chance alone does as much about once in 100 times)"),
        (0.04, "it does not do equally well (chance alone does as much about 4 times in 100)"),
        (0.3, "no difference is shown (chance alone does as much about 30 times in 100)"),
        (1.0, "no difference is shown (chance alone does as much more than 9 times in 10)"),
    ],
)
def test_chance_is_told_in_times(p_value: float, said: str) -> None:
    assert words.chance(p_value) == said
