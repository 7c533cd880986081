"""Which trainings choose a fold's recipe: never one that saw the fold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.automl.units import Answers, asked_folds, counts_for, inner_folds, units_for
from tasks.data.training_view import plan_members
from tasks.errors import LeakageError
from tasks.evaluation.out_of_fold import reported_folds


@given(n_folds=st.integers(3, 12), n_inner=st.one_of(st.none(), st.integers(1, 12)))
def test_no_network_that_chooses_a_folds_recipe_saw_the_fold(n_folds: int, n_inner: int | None) -> None:
    for protocol in ("cross_validation", "given_split", "holdout"):
        for fold in reported_folds(protocol, n_folds):
            units = units_for(protocol, n_folds, fold, n_inner)
            assert units
            assert all(fold in unit and len(unit) == 2 for unit in units)
            assert fold not in inner_folds(protocol, n_folds, fold)


@given(n_folds=st.integers(3, 12))
def test_with_two_inner_folds_as_many_trainings_as_folds_serve_all(n_folds: int) -> None:
    units = {unit for fold in range(n_folds) for unit in units_for("cross_validation", n_folds, fold, 2)}
    assert len(units) == n_folds
    everything = {unit for fold in range(n_folds) for unit in units_for("cross_validation", n_folds, fold)}
    assert len(everything) == n_folds * (n_folds - 1) // 2


def test_a_test_fold_is_never_asked_about() -> None:
    for protocol in ("given_split", "holdout"):
        for unit in units_for(protocol, 5, 0):
            assert asked_folds(protocol, unit) == tuple(sorted(unit - {0}))


def test_every_member_has_a_reported_fold_whose_choice_it_takes() -> None:
    for plan in plan_members("cross_validation", 5):
        assert min(plan.held_out) in reported_folds("cross_validation", 5)


def test_what_counts_is_what_a_network_says_of_the_other_fold() -> None:
    unit = frozenset({1, 2})
    one = Answers(("a",), np.array([0]), ("a",), np.zeros((1, 2)))
    other = Answers(("b",), np.array([1]), ("b",), np.zeros((1, 2)))
    assert counts_for(1, {unit: {1: one, 2: other}}, [unit]) == [other]
    with pytest.raises(LeakageError, match="fold 3"):
        counts_for(3, {unit: {1: one, 2: other}}, [unit])
