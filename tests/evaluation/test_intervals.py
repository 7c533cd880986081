"""Intervals: known values, and coverage by simulation where images come in groups."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.metrics import average_precision_score, roc_auc_score

from tasks.evaluation import intervals
from tasks.evaluation.intervals import Estimate, Ranking
from tasks.evaluation.metrics import evaluate

_DRAWS = 2000


def test_wilson_equals_the_published_example() -> None:
    # Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, table I: 81/263.
    lower, upper = intervals.wilson(81 / 263, 263)
    assert (lower, upper) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@given(st.integers(0, 50), st.integers(1, 50), st.integers(1, 8))
def test_a_proportion_lies_inside_its_interval_and_copies_only_widen_it(
    hits: int, misses: int, k: int
) -> None:
    flags = np.repeat([True] * hits + [False] * misses, k)
    single = intervals.proportion(flags, np.arange(flags.size), absent="none")
    copied = intervals.proportion(flags, np.repeat(np.arange(hits + misses), k), absent="none")
    assert copied.value is not None and copied.lower is not None and copied.upper is not None
    assert single.lower is not None and single.upper is not None
    assert 0 <= copied.lower <= copied.value <= copied.upper <= 1
    assert copied.lower <= single.lower + 1e-12 and copied.upper >= single.upper - 1e-12


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=1, max_size=80))
def test_effective_size_lies_between_the_kish_bound_and_n(rows: list[tuple[bool, int]]) -> None:
    flags = np.array([hit for hit, _ in rows])
    groups = np.array([group for _, group in rows])
    sizes = np.bincount(intervals.group_index(groups))
    size = intervals.effective_size(flags, groups)
    assert len(rows) ** 2 / (sizes**2).sum() - 1e-9 <= size <= len(rows) + 1e-9


def test_perfectly_correlated_copies_count_once() -> None:
    flags = np.repeat([True] * 50, 4)
    assert intervals.effective_size(flags, np.repeat(np.arange(50), 4)) == pytest.approx(50)


@pytest.mark.parametrize("rate", [0.95, 0.9, 0.7])
@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
def test_coverage_of_a_proportion_with_copies(rate: float, alike: float) -> None:
    """155 images in 120 groups, as on brain MRI; copies share an outcome with probability `alike`."""
    rng = np.random.default_rng(int(100 * rate + 10 * alike))
    sizes = np.array([1] * 95 + [2] * 18 + [3] * 4 + [4] * 3)
    groups = np.repeat(np.arange(sizes.size), sizes)
    covered = naive = 0
    for _ in range(_DRAWS):
        shared = (rng.random(sizes.size) < rate)[groups]
        flags = np.where(rng.random(groups.size) < alike, shared, rng.random(groups.size) < rate)
        estimate = intervals.proportion(flags, groups, absent="none")
        assert estimate.lower is not None and estimate.upper is not None
        covered += estimate.lower <= rate <= estimate.upper
        lower, upper = intervals.wilson(float(flags.mean()), groups.size)
        naive += lower <= rate <= upper
    # The expected coverage is 94 % and more; two standard errors of the simulation are allowed.
    assert covered / _DRAWS >= 0.93
    if alike == 1.0:
        assert naive < covered


def test_coverage_of_a_proportion_with_many_slices_a_patient() -> None:
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(30), 10)
    covered = naive = 0
    for _ in range(_DRAWS):
        chance = rng.beta(0.95 * 2.3, 0.05 * 2.3, 30)
        flags = rng.random(300) < chance[groups]
        estimate = intervals.proportion(flags, groups, absent="none")
        assert estimate.lower is not None and estimate.upper is not None
        covered += estimate.lower <= 0.95 <= estimate.upper
        lower, upper = intervals.wilson(float(flags.mean()), 300)
        naive += lower <= 0.95 <= upper
    assert naive / _DRAWS < 0.85
    assert covered / _DRAWS >= 0.94


@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=60).filter(
        lambda rows: len({positive for _, positive in rows}) == 2
    )
)
def test_ranking_equals_scikit_learn(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in rows], dtype=np.float64)
    positive = np.array([flag for _, flag in rows])
    auc, precision = Ranking.of(scores, positive).figures(np.ones((1, len(rows))))[0]
    assert auc == pytest.approx(roc_auc_score(positive, scores))
    assert precision == pytest.approx(average_precision_score(positive, scores))


def test_weights_mean_repetition() -> None:
    rng = np.random.default_rng(0)
    scores, positive = rng.normal(size=40).round(1), rng.random(40) < 0.5
    weights = rng.integers(0, 4, 40)
    figures = Ranking.of(scores, positive).figures(weights[None].astype(np.float64))[0]
    repeated = np.repeat(positive, weights), np.repeat(scores, weights)
    assert figures[0] == pytest.approx(roc_auc_score(*repeated))
    assert figures[1] == pytest.approx(average_precision_score(*repeated))


def test_bootstrap_draws_whole_groups_the_same_every_time() -> None:
    groups = np.array(["b", "a", "b", "c", "a"])
    weights = np.concatenate(list(intervals.resampled_weights(groups, 50, seed=3)))
    again = np.concatenate(list(intervals.resampled_weights(groups, 50, seed=3)))
    assert np.array_equal(weights, again)
    assert np.array_equal(weights[:, 0], weights[:, 2]) and np.array_equal(weights[:, 1], weights[:, 4])
    # Three groups are drawn each time, and b stands for two images.
    assert (weights[:, 0] + weights[:, 1] + weights[:, 3] == 3).all()


def test_blocks_hold_memory_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "_BLOCK_ELEMENTS", 1000)
    blocks = list(intervals.resampled_weights(np.arange(100), 25, seed=0))
    assert [block.shape for block in blocks] == [(10, 100), (10, 100), (5, 100)]


def test_auc_interval_keeps_a_width_at_one_and_shrinks_with_images() -> None:
    few, many = (intervals.auc_interval(1.0, n, n) for n in (20, 200))
    assert few[0] < many[0] < few[1] == many[1] == 1.0
    mirrored = intervals.auc_interval(0.0, 20, 20)
    assert mirrored[0] == 0.0 and mirrored[1] == pytest.approx(1 - few[0], abs=1e-9)


def test_coverage_of_an_auc_near_one_on_few_images() -> None:
    """25 negatives and 40 positives, a quarter of them copied once, true AUC 0.97."""
    rng = np.random.default_rng(0)
    copies = np.r_[np.arange(65), rng.permutation(65)[:16]]
    covered = 0
    for _ in range(300):
        scores = np.r_[rng.normal(2.66, 1, 40), rng.normal(0, 1, 25)][copies]
        chance = 1 / (1 + np.exp(-scores))
        labels = (copies < 40).astype(int)
        found = evaluate(
            labels,
            np.stack([1 - chance, chance], axis=1),
            labels,
            copies,
            ["no", "yes"],
            positive_class="yes",
            protocol="holdout",
            resamples=200,
        ).auc
        assert found.lower is not None and found.upper is not None
        covered += found.lower <= 0.97 <= found.upper
    assert covered / 300 >= 0.93


def test_percentile_says_why_there_is_no_interval() -> None:
    flat = intervals.percentile(1.0, np.ones(100), 30)
    assert flat.lower is None and "every resample" in str(flat.reason)
    rare = intervals.percentile(0.5, np.r_[np.full(90, np.nan), np.linspace(0, 1, 10)], 30)
    assert rare.lower is None and "too few groups" in str(rare.reason)
    none = intervals.percentile(float("nan"), np.ones(100), 30)
    assert none.value is None and none.reason


def test_an_estimate_refuses_what_cannot_be() -> None:
    for wrong in (
        {"value": float("nan"), "n": 1, "reason": "x"},
        {"value": 0.5, "lower": 0.6, "upper": 0.7, "n": 1},
        {"value": 0.5, "lower": 0.4, "n": 1, "reason": "x"},
        {"value": None, "n": 0},
    ):
        with pytest.raises(ValidationError):
            Estimate.model_validate(wrong)
