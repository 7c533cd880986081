"""Members come to one scale as far as their images show that they differ."""

import numpy as np
import pytest

from tasks.evaluation.member_scale import centred, member_offsets

MEMBERS = 5


def _data(seed: int, n: int, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, logits of two classes, members; each member's scores are moved by its level."""
    rng = np.random.default_rng(seed)
    labels, members = rng.integers(0, 2, n), np.arange(n) % MEMBERS
    score = rng.normal(np.where(labels == 1, 2.0, -2.0), 1.0) + levels[members]
    return labels, centred(np.stack([np.zeros(n), score], axis=1)), members


def _scores_moved(labels: np.ndarray, logits: np.ndarray, members: np.ndarray) -> np.ndarray:
    found = member_offsets(labels, logits, members, MEMBERS, np.ones((1, labels.size)))[0]
    return np.asarray(found[:, 1] - found[:, 0])


def test_levels_that_differ_are_taken_back() -> None:
    levels = np.array([-0.8, 0.5, 0.0, 0.9, -0.6])
    found = _scores_moved(*_data(0, 2000, levels))
    np.testing.assert_allclose(found, -(levels - levels.mean()), atol=0.15)


def test_equal_members_are_left_where_they_are() -> None:
    moved = [np.abs(_scores_moved(*_data(seed, 250, np.zeros(MEMBERS)))).max() for seed in range(40)]
    assert np.median(moved) < 0.03 and np.mean(moved) < 0.1, (
        "what is chance alone is not taken for a difference"
    )


def test_other_classes_in_a_fold_are_no_other_level() -> None:
    labels, logits, members = _data(1, 3000, np.zeros(MEMBERS))
    kept = ~((members == 0) & (labels == 1) & (np.arange(3000) % 10 > 0))
    assert np.abs(_scores_moved(labels[kept], logits[kept], members[kept])).max() < 0.15


def test_offsets_are_zero_on_average_and_without_evidence() -> None:
    labels, logits, members = _data(2, 300, np.array([-1.0, 1.0, 0.0, 0.0, 0.5]))
    members = np.where(members == 4, -1, members)  # rows that several members judged
    found = member_offsets(labels, logits, members, MEMBERS, np.ones((2, 300)))
    np.testing.assert_allclose(found.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(found.mean(axis=2), 0, atol=1e-12)
    assert not member_offsets(labels, logits, np.zeros(300, dtype=np.int64), 1, np.ones((1, 300))).any()


def test_a_weight_of_two_is_two_images() -> None:
    labels, logits, members = _data(3, 120, np.array([-1.0, 1.0, 0.0, 0.0, 0.5]))
    weights = np.where(np.arange(120) % 3 == 0, 2.0, 1.0)
    again = np.repeat(np.arange(120), weights.astype(int))
    once = member_offsets(labels, logits, members, MEMBERS, weights[None])
    twice = member_offsets(labels[again], logits[again], members[again], MEMBERS, np.ones((1, again.size)))
    np.testing.assert_allclose(once, twice, atol=1e-9)


@pytest.mark.parametrize("outlier", [30.0, -30.0])
def test_a_wild_logit_moves_nothing(outlier: float) -> None:
    labels, logits, members = _data(4, 250, np.zeros(MEMBERS))
    before = _scores_moved(labels, logits, members)
    logits[np.flatnonzero(members == 0)[0]] = [-outlier, outlier]
    assert np.abs(_scores_moved(labels, logits, members) - before).max() < 0.1
