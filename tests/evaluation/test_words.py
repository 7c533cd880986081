"""An estimate in words, as people know them from reports, messages and tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.evaluation import words
from tasks.evaluation.intervals import Estimate, undefined

FIGURE = Estimate(value=0.9484, lower=0.9012, upper=0.9731, n=155)
LOSS = Estimate(value=-0.0124, lower=-0.0312, upper=0.0071, n=155)
BARE = Estimate(value=0.5, n=3, reason="too few groups")
ABSENT = undefined("no image of class yes")


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        (
            FIGURE,
            ("0.948", "0.901 to 0.973", "0.901 to 0.973", "90.1 to 97.3\u00a0%", "0.948 (0.901 to 0.973)"),
        ),
        (BARE, ("0.500", "–", "too few groups", "too few groups", "0.500")),
        (ABSENT, ("–", "–", "no image of class yes", "no image of class yes", "–")),
    ],
    ids=["whole", "no interval", "undefined"],
)
def test_in_tables(figure: Estimate, said: tuple[str, ...]) -> None:
    assert said == (
        words.number(figure.value),
        words.interval(figure),
        words.interval_or_reason(figure),
        words.interval_of_share(figure),
        words.with_interval(figure),
    )


def test_in_messages_and_reasons() -> None:
    assert [words.in_full(one) for one in (FIGURE, BARE, ABSENT)] == [
        "0.948 (95 % interval 0.901 to 0.973)",
        "0.500 (no interval)",
        "cannot be judged",
    ]
    assert words.as_reason("recall of yes", FIGURE) == "recall of yes 0.948 (95 % interval 0.90–0.97, n=155)"
    assert words.as_reason("recall", BARE) == "recall 0.500 (no interval: too few groups; n=3)"
    assert words.as_reason("AUC minus that of v1", LOSS, of_difference=True) == (
        "AUC minus that of v1 −0.012 (95 % interval −0.031 to +0.007, n=155)"
    )


@given(st.floats(0, 1))
def test_a_rounded_share_never_claims_certainty(value: float) -> None:
    said = words.share(value)
    assert (said == "100.0\u00a0%") == (value == 1)
    assert (said == "0.0\u00a0%") == (value == 0)
    assert words.share(0.99999) == "over 99.9\u00a0%" and words.share(0.00001) == "under 0.1\u00a0%"
    assert words.share(None) == "–"


def test_a_difference_has_a_sign() -> None:
    assert [words.signed(0.01), words.signed(-0.01, 2), words.signed(None)] == ["+0.010", "−0.01", "–"]
