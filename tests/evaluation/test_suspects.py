"""Suspect labels: confident learning finds flipped labels, leaves hard images alone, and counts copies once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from tasks.evaluation.suspects import confidence_thresholds, find_suspects


def _judged(n: int, n_classes: int, sureness: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, n_classes, n)
    return truth, softmax(sureness * np.eye(n_classes)[truth] + rng.normal(size=(n, n_classes)), axis=1)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_flipped_labels_are_found_and_lead_the_ranking(n_classes: int) -> None:
    truth, chance = _judged(400, n_classes, sureness=4.0)
    flipped = np.arange(0, 400, 20)
    labels = truth.copy()
    labels[flipped] = (truth[flipped] + 1) % n_classes
    found = find_suspects(labels, chance, np.arange(400))
    first = found.rows[: flipped.size]
    assert np.isin(first, flipped).mean() >= 0.9
    assert np.isin(flipped, found.rows).mean() >= 0.8
    hit = np.isin(found.rows, flipped)
    assert (found.suggested[hit] == truth[found.rows[hit]]).mean() >= 0.9
    assert hit.mean() > 0.6, "most suspects are flipped"


def test_confident_and_right_predictions_raise_no_suspicion() -> None:
    truth, _ = _judged(100, 3, 1.0)
    assert find_suspects(truth, np.eye(3)[truth] * 0.97 + 0.01, np.arange(100)).rows.size == 0
    assert find_suspects(np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros(0)).rows.size == 0


def test_a_hand_made_case() -> None:
    # Mean self-confidence: class 0 (0.9 + 0.8 + 0.1)/3 = 0.6, class 1 (0.9 + 0.55)/2 = 0.725.
    labels = np.array([0, 0, 0, 1, 1])
    chance = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.1, 0.9], [0.45, 0.55]])
    assert confidence_thresholds(labels, chance, np.arange(5)) == pytest.approx([0.6, 0.725])
    found = find_suspects(labels, chance, np.arange(5))
    assert (found.rows.tolist(), found.suggested.tolist(), found.rank.tolist()) == ([2], [1], [1])
    assert found.self_confidence.tolist() == [0.1]


def test_copies_weigh_once_and_share_a_rank() -> None:
    labels = np.array([0, 0, 0, 1, 1])
    chance = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.1, 0.9], [0.45, 0.55]])
    rows = np.array([0, 1, 2, 2, 2, 2, 3, 4])
    groups = np.array([0, 1, 2, 2, 2, 2, 3, 4])
    assert confidence_thresholds(labels[rows], chance[rows], groups) == pytest.approx([0.6, 0.725])
    found = find_suspects(labels[rows], chance[rows], groups)
    assert sorted(found.rows.tolist()) == [2, 3, 4, 5]
    assert found.rank.tolist() == [1, 1, 1, 1] and found.first_of_groups.tolist() == [
        True,
        False,
        False,
        False,
    ]


def test_a_class_without_images_is_never_suggested() -> None:
    labels = np.array([0, 0, 1, 1])
    chance = np.array([[0.1, 0.1, 0.8], [0.9, 0.1, 0.0], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1]])
    assert np.isinf(confidence_thresholds(labels, chance, np.arange(4))[2])
    assert 2 not in find_suspects(labels, chance, np.arange(4)).suggested


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), n=st.integers(2, 60))
def test_the_order_of_the_rows_changes_nothing(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    labels, chance = _judged(n, 3, 1.0, seed)
    labels[rng.random(n) < 0.2] = 0
    groups = rng.integers(0, n, n)
    order = rng.permutation(n)
    here, there = (
        find_suspects(labels, chance, groups),
        find_suspects(labels[order], chance[order], groups[order]),
    )
    assert dict(zip(here.rows, here.rank, strict=True)) == dict(
        zip(order[there.rows], there.rank, strict=True)
    )
    assert (np.diff(here.rank) >= 0).all()
    assert (here.suggested != labels[here.rows]).all()
