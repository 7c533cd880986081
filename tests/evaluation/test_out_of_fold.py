"""No image takes part in the choice of the rule that judges it, nor does a copy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import DataSetUnusable, LeakageError
from tasks.evaluation.operating_rule import JudgedImages, OperatingRule, choose_rule
from tasks.evaluation.out_of_fold import HonestPredictions, Round, judge
from tasks.evaluation.parts import parts_of
from tasks.evaluation.settings import ThresholdRule

RULE = ThresholdRule(recall_target=0.9)
N, MEMBERS = 120, 5
NONE = np.zeros(N, dtype=np.bool_)
FOLDS = np.arange(N) % MEMBERS
EVERY = frozenset(range(MEMBERS))


def _images(seed: int) -> JudgedImages:
    """Two images a group, each fold judged by its own member."""
    rng = np.random.default_rng(seed)
    groups = np.arange(N) % (N // 2)
    labels = rng.integers(0, 2, N // 2)[groups]
    logits = rng.normal(0, 1, (N, 2))
    logits[np.arange(N), labels] += 1.5
    return JudgedImages(labels, logits, np.eye(MEMBERS)[FOLDS], groups)


def _judged(
    images: JudgedImages, reported: frozenset[int] = EVERY, straddling: np.ndarray = NONE
) -> HonestPredictions:
    return judge(images, FOLDS, straddling=straddling, reported_folds=reported, positive=1, rule=RULE)


@given(seed=st.integers(0, 50), part=st.integers(0, 4))
@settings(max_examples=15, deadline=None)
def test_what_a_part_says_and_shows_never_changes_its_own_predictions(seed: int, part: int) -> None:
    """Neither its labels nor its logits: scales, calibration and threshold are those of the others."""
    images = _images(seed)
    own = parts_of(images.labels, FOLDS, images.groups) == part
    first = _judged(images)
    one = int(np.flatnonzero(own)[0])
    group = images.groups == images.groups[one]
    logits = images.logits.copy()
    logits[own & ~group] *= -3
    two = _judged(JudgedImages(images.labels, logits, images.judges, images.groups))
    np.testing.assert_array_equal(first.probabilities[group], two.probabilities[group])
    np.testing.assert_array_equal(first.predicted[group], two.predicted[group])
    np.testing.assert_array_equal(first.thresholds[own], two.thresholds[own])
    assert first.served != two.served


def test_every_image_is_judged_once_and_by_no_rule_of_its_group() -> None:
    images = _images(2)
    judged = _judged(images)
    times = np.sum([one.judged for one, _ in judged.rounds], axis=0)
    assert times.tolist() == [1] * N
    for one, rule in judged.rounds:
        assert not set(images.groups[one.choosing]) & set(images.groups[one.judged])
        assert set(images.members[one.choosing]) == set(range(MEMBERS)), "each member's scale is known"
        assert set(judged.thresholds[one.judged]) == {rule.threshold}


def test_a_group_on_both_sides_is_a_leak() -> None:
    groups = np.array([0, 0, 1])
    with pytest.raises(LeakageError, match="1 groups of copies"):
        Round(np.array([True, False, False]), np.array([False, True, True]), groups)


def test_a_held_out_fold_changes_nothing_that_is_chosen() -> None:
    images, only_test = _images(3), frozenset({0})
    changed = np.where((FOLDS == 0)[:, None], -images.logits, images.logits)
    one = _judged(images, only_test)
    two = _judged(JudgedImages(images.labels, changed, images.judges, images.groups), only_test)
    assert one.served.threshold == two.served.threshold
    assert one.served.temperature == two.served.temperature
    assert one.reported.tolist() == (FOLDS == 0).tolist()
    assert np.isnan(one.thresholds[FOLDS != 0]).all()


def test_the_served_rule_is_chosen_on_all_images_under_cross_validation() -> None:
    images = _images(4)
    served, expected = _judged(images).served, choose_rule(images, 1, RULE)
    assert (served.threshold, served.temperature) == (expected.threshold, expected.temperature)
    predicted = served.decide(served.probabilities(images.logits, images.judges), 1)
    assert (predicted[images.labels == 1] == 1).mean() >= 0.85


def test_members_of_other_levels_are_judged_on_one_scale() -> None:
    """A threshold of other networks called nearly everything positive of one that lay higher."""
    rng = np.random.default_rng(0)
    n, folds = 1000, np.arange(1000) % MEMBERS
    labels = rng.integers(0, 2, n)
    score = rng.normal(np.where(labels == 1, 2.0, -2.0), 1.2) + np.array([-2.0, 2.0, 0.0, 1.0, -1.0])[folds]
    logits = np.stack([np.zeros(n), score], axis=1)
    images = JudgedImages(labels, logits, np.eye(MEMBERS)[folds], np.arange(n))
    judged = judge(
        images,
        folds,
        straddling=np.zeros(n, dtype=np.bool_),
        reported_folds=EVERY,
        positive=1,
        rule=ThresholdRule(),
    )
    by_member = [(judged.predicted[(folds == k) & (labels == 0)] == 0).mean() for k in range(MEMBERS)]
    assert min(by_member) > 0.9 and max(by_member) - min(by_member) < 0.08


def _rule(threshold: float | None) -> OperatingRule:
    return OperatingRule(temperature=2.0, offsets=np.zeros(3), members=np.zeros((1, 3)), threshold=threshold)


def test_without_a_positive_class_the_likeliest_wins() -> None:
    rule = _rule(None)
    probabilities = rule.probabilities(np.array([[0.0, 3.0, 1.0], [5.0, 0.0, 0.0]]))
    assert rule.decide(probabilities, None).tolist() == [1, 0]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_below_the_threshold_the_likeliest_other_class_is_predicted() -> None:
    rule = _rule(0.99)
    assert rule.decide(rule.probabilities(np.array([[0.0, 3.0, 1.0]])), 1).tolist() == [2]


def test_nothing_to_choose_on_is_said() -> None:
    with pytest.raises(DataSetUnusable, match="no image is left"):
        judge(
            _images(5),
            np.zeros(N, dtype=np.int64),
            straddling=np.ones(N, dtype=np.bool_),
            reported_folds=frozenset({0, 1}),
            positive=1,
            rule=RULE,
        )


def test_an_image_with_a_copy_elsewhere_takes_part_in_no_choice() -> None:
    images, straddling = _images(6), np.arange(N) % 7 == 0
    changed = np.where(straddling[:, None], -images.logits, images.logits)
    one = _judged(images, straddling=straddling)
    two = _judged(JudgedImages(images.labels, changed, images.judges, images.groups), straddling=straddling)
    assert one.served.threshold == two.served.threshold
    np.testing.assert_array_equal(one.thresholds, two.thresholds)
