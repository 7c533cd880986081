"""Kappas against scikit-learn and against the worked example of Fleiss' paper."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from support.samples.decisions import say

from tasks.labelling.agreement import agreement, cohen_kappa, fleiss_kappa
from tasks.labelling.consensus import verdicts
from tasks.labelling.settings import AgreementRule

PAIRS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=2, max_size=30)


@given(PAIRS)
def test_cohen_is_that_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    found = cohen_kappa([{"ann": one, "bob": other} for one, other in pairs], ["ann", "bob"])
    first, second = zip(*pairs, strict=True)
    if len({*first, *second}) == 1:
        assert found is None
    else:
        assert found == pytest.approx(cohen_kappa_score(first, second))


def test_fleiss_is_that_of_the_known_example() -> None:
    """Ten subjects, fourteen raters, five categories: kappa 0.210, as in Fleiss 1971 restated by Wikipedia."""
    counts = [
        *([0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]),
        *([7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]),
    ]
    subjects = []
    for row in counts:
        answers = np.repeat(np.arange(5), row)
        subjects.append({f"rater {i}": str(answer) for i, answer in enumerate(answers)})
    assert fleiss_kappa(subjects) == pytest.approx(0.210, abs=5e-4)


def test_only_images_that_two_people_answered_count_and_reviews_do_not() -> None:
    decisions = [
        *(say("ann", "yes", "1"), say("bob", "yes", "1"), say("ann", "no", "2"), say("bob", "no", "2")),
        *(say("ann", "yes", "3"), say("bob", None, "3"), say("eve", "yes", "3", review=True)),
        say("ann", "yes", "4"),
    ]
    found = agreement(verdicts(decisions, AgreementRule()).values())
    assert (found.kind, found.images, found.agreed, found.people) == ("cohen", 3, 2, 2)
    assert found.kappa == pytest.approx(0.5)
    assert agreement([]).kappa is None
