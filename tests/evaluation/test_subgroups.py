"""Figures by subgroup: right counts, readable bands, and a test that finds what is there and no more."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.evaluation.subgroups import NOT_GIVEN, OTHERS, Subgroups, banded_values, heterogeneity, subgroups


def series(values: Sequence[Any]) -> "pd.Series[str]":
    return pd.Series(values, dtype="object")


def one(
    values: "pd.Series[str]", positive: np.ndarray, chance: np.ndarray, groups: np.ndarray | None = None
) -> Subgroups:
    right = (chance >= 0.5) == positive
    [found] = subgroups(
        {"site": (values, False)},
        right,
        np.arange(positive.size) if groups is None else groups,
        positive=positive,
        scores=chance,
    )
    return found


def test_each_value_has_its_own_figures() -> None:
    positive = np.array([1, 1, 0, 0, 1, 1, 0, 0], dtype=bool)
    chance = np.array([0.9, 0.2, 0.1, 0.1, 0.9, 0.9, 0.8, 0.1])
    found = one(series(["b"] * 4 + ["a"] * 4), positive, chance)
    a, b = found.values
    assert (a.value, a.n, a.findings, b.value) == ("a", 4, 2, "b")
    assert a.recall is not None and b.recall is not None and a.specificity is not None and a.auc is not None
    assert (a.recall.value, b.recall.value, a.specificity.value) == (1.0, 0.5, 0.5)
    assert a.auc.value == 1.0 and a.auc.lower is not None and a.auc.lower < 0.8
    assert a.accuracy.value == 0.75


def test_a_site_that_is_worse_is_found_and_a_fair_one_is_not() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(600) < 0.5
    site = np.where(rng.random(600) < 0.3, "far", "near")
    right = rng.random(600) < np.where(site == "far", 0.7, 0.93)
    chance = np.where(right == positive, 0.9, 0.1)
    found = one(series(site.tolist()), positive, chance)
    assert found.p_values["recall"] < 0.01 and found.p_values["specificity"] < 0.01
    fair = one(series(rng.permutation(site).tolist()), positive, chance)
    assert min(fair.p_values.values()) > 0.05


def test_copies_do_not_make_a_difference_sure() -> None:
    """One patient with thirty slices at another site proves nothing of the site."""
    positive = np.ones(60, dtype=bool)
    right = np.r_[np.zeros(30, dtype=bool), np.ones(27, dtype=bool), np.zeros(3, dtype=bool)]
    site = series(["far"] * 30 + ["near"] * 30)
    separate = heterogeneity(site, right, np.arange(60), positive)
    one_patient = heterogeneity(site, right, np.r_[np.zeros(30, dtype=int), np.arange(1, 31)], positive)
    assert separate is not None and one_patient is not None
    assert separate < 0.01 and one_patient > 0.03


@pytest.mark.parametrize("copies", [1, 4])
def test_without_a_difference_the_test_is_wrong_in_one_of_twenty(copies: int) -> None:
    rng = np.random.default_rng(1)
    wrong = []
    for _ in range(120):
        groups = np.repeat(np.arange(40), copies)
        right = (rng.random(40) < 0.8)[groups]
        site = series(np.array(["a", "b", "c"])[rng.integers(0, 3, 40)][groups].tolist())
        p = heterogeneity(site, right, groups, np.ones(groups.size, dtype=bool))
        wrong.append(p is not None and p < 0.05)
    assert np.mean(wrong) <= 0.1


def test_many_numbers_become_quarters_dates_years_and_rare_texts_one() -> None:
    ages = banded_values(series([str(age) for age in range(20, 100)]))
    assert sorted(ages.unique()) == ["20 to 39", "40 to 59", "60 to 79", "80 to 99"]
    assert banded_values(series(["2019-03-04", "2019/07/01", "2021-01-01"])).tolist() == [
        "2019",
        "2019",
        "2021",
    ]
    assert banded_values(series(["1", "2", "1"])).tolist() == ["1", "2", "1"]
    many = banded_values(series([f"s{i % 20}" for i in range(100)] + ["s1"] * 5))
    assert many.nunique() == 10 and OTHERS in set(many)
    assert banded_values(series(["m", None, " ", float("nan")])).tolist() == [
        "m",
        NOT_GIVEN,
        NOT_GIVEN,
        NOT_GIVEN,
    ]


@given(
    st.lists(
        st.one_of(st.none(), st.text(max_size=4), st.integers().map(str), st.floats().map(str)), max_size=60
    )
)
def test_any_column_has_few_values_and_keeps_its_rows(values: list[str | None]) -> None:
    found = banded_values(series(list(values)))
    assert len(found) == len(values) and found.notna().all() and found.nunique() <= 11


def test_a_column_that_says_the_same_of_all_is_left_out_and_questions_are_counted() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(200) < 0.5
    chance = np.where(rng.random(200) < 0.85, positive, ~positive) * 0.8 + 0.1
    right = (chance >= 0.5) == positive
    halves = series(np.where(rng.random(200) < 0.5, "a", "b").tolist())
    alone = subgroups({"x": (halves, True)}, right, np.arange(200), positive=positive, scores=chance)
    both = subgroups(
        {"same": (series(["s"] * 200), False), "x": (halves, True), "y": (halves, True)},
        right,
        np.arange(200),
        positive=positive,
        scores=chance,
    )
    assert [found.column for found in both] == ["x", "y"]
    assert all(both[0].p_values[name] >= p for name, p in alone[0].p_values.items())


def test_without_a_finding_only_what_is_right_is_counted() -> None:
    right = np.array([True, False, True, True])
    [found] = subgroups({"site": (series(["a", "a", "b", "b"]), False)}, right, np.arange(4))
    assert [value.accuracy.value for value in found.values] == [0.5, 1.0]
    assert (
        found.values[0].recall is None
        and found.values[0].findings is None
        and set(found.p_values) == {"accuracy"}
    )
