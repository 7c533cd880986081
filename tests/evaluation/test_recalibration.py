"""Slope and offsets: recovered where the truth is known, sober where the data cannot tell."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from tasks.evaluation.recalibration import SLOPES, fit_scale


def _logits(
    rng: np.random.Generator, n: int, slope: float, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from softmax(slope * logits + offsets), and the logits."""
    logits = rng.normal(scale=2.0, size=(n, offsets.size))
    logits -= logits.mean(axis=1, keepdims=True)
    chances = softmax(slope * logits + offsets, axis=1).cumsum(axis=1)
    return (rng.random((n, 1)) > chances[:, :-1]).sum(axis=1), logits


def _fitted(labels: np.ndarray, logits: np.ndarray) -> tuple[float, np.ndarray]:
    slopes, offsets = fit_scale(labels, logits[None], np.ones((1, labels.size)))
    return float(slopes[0]), offsets[0]


@pytest.mark.parametrize("slope", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("offsets", [[-1.5, 1.5], [1.0, -2.0, 1.0]])
def test_known_slope_and_offsets_are_recovered(slope: float, offsets: list[float]) -> None:
    labels, logits = _logits(np.random.default_rng(0), 40_000, slope, np.array(offsets))
    found, moved = _fitted(labels, logits)
    assert found == pytest.approx(slope, rel=0.05)
    np.testing.assert_allclose(moved, offsets, atol=0.1)


@pytest.mark.parametrize("prevalence", [0.3, 0.1, 0.05])
def test_a_rare_class_is_not_predicted_too_often(prevalence: float) -> None:
    """One factor cannot undo a training on balanced classes: it told of a fifth where a twentieth was so."""
    rng = np.random.default_rng(1)
    labels = (rng.random(4000) < prevalence).astype(np.int64)
    score = rng.normal(np.where(labels == 1, 2.1, 0.0), 1.0) - 1.05  # balanced log odds / 2.1
    logits = np.stack([-score, score], axis=1)
    slope, offsets = _fitted(labels[:2000], logits[:2000])
    said = softmax(slope * logits[2000:] + offsets, axis=1)[:, 1]
    assert said.mean() == pytest.approx(labels[2000:].mean(), rel=0.2)


def test_separable_classes_do_not_claim_certainty() -> None:
    labels = np.repeat([0, 1], 20)
    slope, offsets = _fitted(labels, 4.0 * (np.eye(2)[labels] - 0.5))
    sure = softmax(slope * 2.0 * np.array([-1.0, 1.0]) + offsets)[1]
    # Platt's target for 40 images of two classes.
    assert sure == pytest.approx(41 / 42, abs=2e-3)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 40), classes=st.integers(2, 4), turned=st.booleans())
def test_whatever_is_given_the_scale_is_finite_and_keeps_the_order(
    seed: int, n: int, classes: int, turned: bool
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = rng.normal(scale=10.0 ** rng.integers(-2, 3), size=(n, classes))
    logits[np.arange(n), labels] += -5.0 if turned else 5.0
    slope, offsets = _fitted(labels, logits - logits.mean(axis=1, keepdims=True))
    assert SLOPES[0] - 1e-12 <= slope <= SLOPES[1] + 1e-9
    assert np.isfinite(offsets).all() and abs(offsets.sum()) < 1e-6


def test_a_weight_of_two_is_two_images() -> None:
    labels, logits = _logits(np.random.default_rng(3), 60, 1.0, np.zeros(2))
    weights = np.where(np.arange(60) % 3 == 0, 2.0, 1.0)
    slope, offsets = fit_scale(labels, logits[None], weights[None])
    again = np.repeat(np.arange(60), weights.astype(int))
    twice = _fitted(labels[again], logits[again])
    assert float(slope[0]) == pytest.approx(twice[0], rel=1e-6)
    np.testing.assert_allclose(offsets[0], twice[1], atol=1e-6)
