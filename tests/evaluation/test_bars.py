"""Every bar can be missed: by a model that knows nothing, by one that never finds a class, by too few images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import ConfigError
from tasks.evaluation.bars import images_needed, lower_bound
from tasks.evaluation.gate import Decision, decide
from tasks.evaluation.intervals import Z, proportion, wilson
from tasks.evaluation.metrics import Evaluation, evaluate
from tasks.evaluation.operating_rule import JudgedImages
from tasks.evaluation.out_of_fold import judge
from tasks.evaluation.settings import GateSettings, ThresholdRule
from tasks.evaluation.trivial import FactComparison, compare_with_facts


def judged(scores: np.ndarray, labels: np.ndarray, seed: int = 0) -> Evaluation:
    """Through the rules of a run: out-of-fold thresholds for a recall of 0.95."""
    folds = np.random.default_rng(seed).permutation(labels.size) % 5
    logits = np.stack([-scores / 2, scores / 2], axis=1)
    said = judge(
        JudgedImages(labels, logits, np.eye(5)[folds], np.arange(labels.size)),
        folds,
        straddling=np.zeros(labels.size, dtype=np.bool_),
        reported_folds=frozenset(range(5)),
        positive=1,
        rule=ThresholdRule(),
    )
    return evaluate(
        labels,
        said.probabilities,
        said.predicted,
        np.arange(labels.size),
        ["no", "yes"],
        positive_class="yes",
        protocol="cross_validation",
        resamples=100,
    )


def two_classes(positives: int, negatives: int) -> np.ndarray:
    return np.repeat(np.array([1, 0], dtype=np.int64), [positives, negatives])


def many_classes(recalls: list[float], n: int) -> Evaluation:
    labels = np.repeat(np.arange(len(recalls)), n)
    found = np.concatenate([np.arange(n) < round(recall * n) for recall in recalls])
    predicted = np.where(found, labels, (labels + 1) % len(recalls))
    chance = np.full((labels.size, len(recalls)), 0.01)
    chance[np.arange(labels.size), predicted] = 1.0
    return evaluate(
        labels,
        chance / chance.sum(axis=1, keepdims=True),
        predicted,
        np.arange(labels.size),
        [f"class {k}" for k in range(len(recalls))],
        positive_class=None,
        protocol="cross_validation",
        resamples=20,
    )


def reason(decision: Decision, question: str) -> str:
    [words] = [check.words for check in decision.checks if check.question == question]
    return words


@pytest.mark.parametrize("model", ["coin", "inverted", "constant"])
def test_recall_that_the_threshold_was_set_for_promotes_nothing(model: str) -> None:
    labels = two_classes(155, 98)
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(size=labels.size)
        scores = {"coin": noise, "inverted": noise - labels, "constant": np.zeros(labels.size)}[model]
        decision = decide(judged(scores, labels, seed), None, GateSettings())
        assert decision.verdict == "refused"
        assert decision.answer("specificity") is False, "nearly everything is called positive"


def test_calling_everything_positive_is_refused_whatever_the_auc() -> None:
    labels = two_classes(155, 98)
    evaluation = judged(np.random.default_rng(0).normal(size=253) + 0.9 * labels, labels)
    all_positive = evaluate(
        labels,
        np.stack([1 - labels * 0.1 - 0.7, labels * 0.1 + 0.7], axis=1),
        np.ones(253, dtype=np.int64),
        np.arange(253),
        ["no", "yes"],
        positive_class="yes",
        protocol="cross_validation",
        resamples=20,
    )
    assert evaluation.auc.value is not None and all_positive.auc.value == 1.0
    decision = decide(all_positive, None, GateSettings())
    assert decision.verdict == "refused" and decision.above_chance and decision.recall_reached
    assert "is below the bar 0.2" in reason(decision, "specificity")
    assert decide(all_positive, None, GateSettings(min_specificity=0)).verdict == "promoted"


def test_a_faultless_model_on_30_positives_is_told_that_they_are_too_few() -> None:
    labels = two_classes(30, 100)
    scores = np.random.default_rng(1).uniform(-1, 1, 130) + 10 * labels - 5
    decision = decide(judged(scores, labels), None, GateSettings())
    assert decision.verdict == "too few"
    assert decision.reasons[0].startswith(
        "too few images to judge (30 of yes: about 49 are needed). With fewer, not even a faultless model"
    )
    assert decide(judged(scores, labels), None, GateSettings(on="value")).verdict == "promoted"


def test_copies_are_worth_less_than_images_of_their_own() -> None:
    """60 images of 20 patients, all found: worth 20, and three times as many are asked for."""
    labels = np.repeat([1, 0], 60)
    groups = np.r_[np.repeat(np.arange(20), 3), np.arange(20, 80)]
    chance = np.eye(2)[labels]
    figures = evaluate(
        labels,
        chance,
        labels,
        groups,
        ["no", "yes"],
        positive_class="yes",
        protocol="cross_validation",
        resamples=20,
    )
    decision = decide(figures, None, GateSettings())
    assert decision.verdict == "too few"
    assert "60 of yes, which are alike and worth 20: about 147 are needed" in decision.reasons[0]


@given(
    bar=st.floats(0.01, 0.98),
    gap=st.floats(0.01, 0.5),
)
def test_so_many_images_show_the_bar_and_one_less_does_not(bar: float, gap: float) -> None:
    target = min(1.0, bar + gap)
    needed = images_needed(bar, target)
    assert needed is not None
    assert wilson(target, needed)[0] >= bar - 1e-9
    assert needed == 1 or wilson(target, needed - 1)[0] <= bar + 1e-9


def test_a_bar_above_the_recall_that_was_asked_for_is_no_want_of_images() -> None:
    labels = two_classes(155, 98)
    scores = np.random.default_rng(1).uniform(-1, 1, 253) + 10 * labels - 5
    decision = decide(judged(scores, labels), None, GateSettings(min_recall=0.99))
    assert decision.verdict == "refused"
    assert (
        "no number of images can show it while the threshold is set for a recall of 0.95"
        in decision.reasons[0]
    )


def test_one_class_that_is_never_found_refuses_whatever_the_mean() -> None:
    evaluation = many_classes([0.99] * 9 + [0.0], 300)
    assert evaluation.recall.lower is not None and evaluation.recall.lower > 0.85, "the mean reaches the bar"
    decision = decide(evaluation, None, GateSettings())
    assert decision.verdict == "refused"
    assert (
        "recall of 1 of 10 classes" in decision.reasons[0] and "class 9 0.000 (n=300" in decision.reasons[0]
    )
    assert "macro recall" in decision.reasons[0]
    named = GateSettings(recall_classes=("class 0", "class 1"))
    assert decide(evaluation, None, named).verdict == "promoted"


def test_many_classes_are_to_hold_at_once() -> None:
    """A class that reaches the bar alone is not shown to do so beside nine others."""
    alone = many_classes([1.0, 0.91] + [1.0] * 8, 200)
    rate = next(figures.recall for figures in alone.per_class if figures.name == "class 1")
    assert rate.lower is not None and rate.lower > 0.85
    together = lower_bound(rate, 10)
    assert together is not None and together < 0.85
    assert decide(alone, None, GateSettings()).verdict == "refused"
    assert decide(alone, None, GateSettings(recall_classes=("class 1",))).verdict == "promoted"


@given(hits=st.lists(st.booleans(), min_size=2, max_size=80), together=st.integers(1, 20))
def test_the_bound_of_many_is_never_above_that_of_one(hits: list[bool], together: int) -> None:
    rate = proportion(np.array(hits), np.arange(len(hits)), absent="none")
    bound = lower_bound(rate, together)
    assert bound is not None and rate.lower is not None
    assert 0 <= bound <= rate.lower + 1e-12
    assert Z > 1.95


def test_a_bar_for_a_class_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="recall of cyst; the images are labelled no, yes"):
        GateSettings(recall_classes=("cyst",)).checked_for(("no", "yes"))


def test_net_benefit_is_compared_with_calling_all_and_none() -> None:
    labels = two_classes(155, 98)
    good = judged(np.random.default_rng(0).normal(size=253) + 4 * labels, labels)
    coin = judged(np.random.default_rng(0).normal(size=253), labels)
    settings = GateSettings(min_recall=0.8, min_specificity=0)
    assert decide(good, None, settings, harm_ratio=4).verdict == "promoted"
    poor = decide(coin, None, settings, harm_ratio=4)
    assert "NOT shown to be of more use" in reason(poor, "net benefit")
    # A miss that is worth a thousand alarms: calling all positive is hard to beat, and said so.
    dear = decide(good, None, settings, harm_ratio=1000)
    assert dear.verdict == "refused" and "against calling all" in reason(dear, "net benefit")


def test_a_model_no_better_than_a_trivial_fact_is_refused_and_the_fact_is_named() -> None:
    rng = np.random.default_rng(3)
    labels = two_classes(155, 98)
    shared = rng.normal(size=253)
    scores = 1.5 * labels + shared
    model = np.stack([-scores, scores], axis=1)
    fact = np.stack([-(1.5 * labels + rng.normal(size=253)), 1.5 * labels + rng.normal(size=253)], axis=1)
    weak = rng.normal(size=(253, 2))
    found = compare_with_facts(
        labels, model, {"image size": fact, "file format": weak}, np.arange(253), [1], resamples=400
    )
    assert [one.fact for one in found] == ["image size", "file format"]
    refused = decide(judged(scores, labels), None, GateSettings(min_recall=0.8), facts=found)
    assert refused.verdict == "refused"
    assert "NOT shown to be better than a trivial fact" in refused.reasons[0]
    assert "AUC minus that of image size alone" in refused.reasons[0]
    passed = decide(judged(scores, labels), None, GateSettings(min_recall=0.8), facts=found[1:])
    assert passed.verdict == "promoted" and passed.answer("trivial facts") is True
    ignored = GateSettings(min_recall=0.8, above_trivial_facts=False)
    assert decide(judged(scores, labels), None, ignored, facts=found).verdict == "promoted"


def test_that_no_fact_was_measured_is_said_and_refuses_nothing() -> None:
    labels = two_classes(155, 98)
    decision = decide(
        judged(np.random.default_rng(0).normal(size=253) + 5 * labels, labels), None, GateSettings()
    )
    assert decision.verdict == "promoted" and decision.answer("trivial facts") is None
    assert "was not compared with trivial facts" in reason(decision, "trivial facts")


def test_the_pairing_knows_that_the_images_are_the_same() -> None:
    """Two scores that rise and fall together differ by less than their own intervals' widths."""
    rng = np.random.default_rng(4)
    labels = two_classes(100, 100)
    hard = rng.normal(size=200)
    ours = 2.0 * labels + hard
    theirs = ours + rng.normal(scale=0.2, size=200) - 0.3 * labels
    [found] = compare_with_facts(
        labels,
        np.stack([-ours, ours], axis=1),
        {"a": np.stack([-theirs, theirs], axis=1)},
        np.arange(200),
        [1],
    )
    assert isinstance(found, FactComparison)
    assert found.difference.lower is not None and found.difference.upper is not None
    assert found.difference.lower > 0 and found.difference.upper - found.difference.lower < 0.05
    assert compare_with_facts(np.ones(5), np.ones((5, 2)), {"a": np.ones((5, 2))}, np.arange(5), [1]) == []
