"""Temperature and calibration error: recovered where the truth is known, never fitted on their own images."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from tasks.errors import DataSetUnusable
from tasks.evaluation import calibration as subject


def _logits(rng: np.random.Generator, n: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from softmax(logits), and the logits made too sure by a temperature."""
    true = rng.normal(scale=2.0, size=(n, 3))
    chances = softmax(true, axis=1).cumsum(axis=1)
    labels = (rng.random((n, 1)) > chances[:, :-1]).sum(axis=1)
    return labels, true * temperature


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    labels, logits = _logits(np.random.default_rng(0), 20_000, temperature)
    assert subject.fit_temperature(labels, logits) == pytest.approx(temperature, rel=0.05)


def test_the_fitted_temperature_lowers_loss_and_calibration_error_on_other_images() -> None:
    rng = np.random.default_rng(1)
    labels, logits = _logits(rng, 2000, 3.0)
    found = subject.fit_temperature(labels[:1000], logits[:1000])
    held, scores = labels[1000:], logits[1000:]
    assert subject.negative_log_likelihood(held, scores, found) < subject.negative_log_likelihood(
        held, scores, 1.0
    )
    before, after = (softmax(scores / t, axis=1) for t in (1.0, found))
    errors = [
        subject.expected_calibration_error(p.argmax(axis=1) == held, p.max(axis=1)) for p in (before, after)
    ]
    assert errors[1] < errors[0] / 2


def test_separable_logits_do_not_claim_certainty() -> None:
    labels = np.repeat([0, 1], 20)
    logits = 4.0 * np.eye(2)[labels]
    sure = softmax(logits / subject.fit_temperature(labels, logits), axis=1).max()
    # Platt's target for 40 images of two classes.
    assert sure == pytest.approx(41 / 42, abs=1e-3)


@given(st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]), min_size=1, max_size=90))
def test_bins_hold_every_image_once_and_never_part_equal_probabilities(values: list[float]) -> None:
    bins = subject.equal_mass_bins(values)
    assert sorted(np.concatenate(bins).tolist()) == list(range(len(values)))
    held = [{values[i] for i in members} for members in bins]
    for one, other in pairwise(held):
        assert max(one) < min(other)


def test_bins_are_even_without_ties() -> None:
    sizes = [members.size for members in subject.equal_mass_bins(np.random.default_rng(0).random(253))]
    assert len(sizes) == 10 and max(sizes) - min(sizes) <= 1


def test_calibration_error_has_its_known_values() -> None:
    assert subject.expected_calibration_error([True] * 10, [1.0] * 10) == 0
    assert subject.expected_calibration_error([False] * 10, [1.0] * 10) == 1
    assert subject.expected_calibration_error([True, False] * 10, [0.7] * 20) == pytest.approx(0.2)


def test_reliability_points_ascend_and_count_every_image() -> None:
    rng = np.random.default_rng(0)
    chance = rng.random(500)
    points = subject.reliability_curve(rng.random(500) < chance, chance, np.arange(500))
    assert [p.predicted for p in points] == sorted(p.predicted for p in points)
    assert sum(p.observed.n for p in points) == 500
    inside = [
        p.observed.lower <= p.predicted <= p.observed.upper
        for p in points
        if p.observed.lower is not None and p.observed.upper is not None
    ]
    assert sum(inside) >= 8


@pytest.mark.parametrize(
    ("labels", "logits"), [([], np.zeros((0, 2))), ([0], [[np.inf, 0.0]]), ([0, 1], [[0.0, 1.0]])]
)
def test_what_cannot_be_fitted_is_refused(labels: list[int], logits: object) -> None:
    with pytest.raises(DataSetUnusable, match="no temperature"):
        subject.fit_temperature(labels, np.asarray(logits))
