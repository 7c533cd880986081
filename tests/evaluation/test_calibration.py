"""Calibration error: its known values, and bins that hold every image once."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.evaluation import calibration as subject


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
