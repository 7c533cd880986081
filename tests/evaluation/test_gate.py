"""Gate and comparison: noise and ties do not promote, and every decision says why."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from tasks.errors import DataSetUnusable
from tasks.evaluation.comparison import Comparison, _sign_test, compare
from tasks.evaluation.gate import decide
from tasks.evaluation.looks import Looks
from tasks.evaluation.metrics import Evaluation, evaluate
from tasks.evaluation.operating_rule import JudgedImages
from tasks.evaluation.out_of_fold import judge
from tasks.evaluation.settings import GateSettings, ThresholdRule

CLASSES = ["no", "yes"]


def _evaluation(found: int, positives: int = 155, positive_class: str | None = "yes") -> Evaluation:
    """`found` of `positives` positive images found, 88 of 98 others raise no alarm."""
    labels = np.r_[np.ones(positives, dtype=int), np.zeros(98, dtype=int)]
    predicted = np.r_[np.arange(positives) < found, np.arange(98) < 10].astype(int)
    yes = np.where(predicted == 1, 0.8, 0.2)
    chance = np.stack([1 - yes, yes], axis=1)
    return evaluate(
        labels,
        chance,
        predicted,
        np.arange(labels.size),
        CLASSES,
        positive_class=positive_class,
        protocol="cross_validation",
        resamples=200,
    )


def _side(rng: np.random.Generator, labels: np.ndarray, skill: float) -> tuple[np.ndarray, np.ndarray]:
    yes = 1 / (1 + np.exp(-rng.normal(skill * (2 * labels - 1), 1.0)))
    return np.stack([1 - yes, yes], axis=1), (yes >= 0.5).astype(int)


def _comparison(before: float, after: float, n: int = 250, seed: int = 0) -> Comparison:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.6).astype(int)
    return compare(
        labels,
        _side(rng, labels, before),
        _side(rng, labels, after),
        np.arange(n),
        classes=CLASSES,
        positive_class="yes",
        champion_version="4",
        resamples=400,
    )


def test_the_first_model_needs_only_the_bar_and_the_reason_is_plain() -> None:
    decision = decide(_evaluation(147), None, GateSettings())
    assert decision.verdict == "promoted" and decision.champion_beaten is None
    assert decision.reasons[0] == (
        "recall of yes 0.948 (95 % interval 0.90–0.97, n=155): lower bound 0.90 reaches the bar 0.85"
    )


def test_the_lower_bound_decides_unless_the_value_is_asked_for() -> None:
    few = _evaluation(18, positives=20)
    decision = decide(few, None, GateSettings())
    assert decision.verdict == "too few"
    assert "is below the bar 0.85, so it is not shown to reach it" in decision.reasons[1]
    assert decide(few, None, GateSettings(on="value")).verdict == "promoted"


def test_an_undefined_recall_refuses() -> None:
    decision = decide(_evaluation(0, positives=0), None, GateSettings(min_recall=0))
    assert decision.verdict == "refused" and "no image of class yes" in decision.reasons[0]


def test_without_a_positive_class_every_class_is_judged_and_macro_recall_stands_beside() -> None:
    reached = decide(_evaluation(150, positive_class=None), None, GateSettings(min_recall=0.8))
    assert "recall of each of 2 classes: the lowest lower bound, 2 classes at once, is" in reached.reasons[0]
    assert "macro recall 0.9" in reached.reasons[0]


def test_a_clearly_better_challenger_is_promoted() -> None:
    decision = decide(_evaluation(147), _comparison(0.5, 2.0), GateSettings())
    assert decision.verdict == "promoted" and decision.champion_beaten
    assert len(decision.reasons) == 7 and "champion (version 4)" in decision.reasons[2]


def test_a_better_challenger_below_the_bar_is_refused_with_all_reasons() -> None:
    decision = decide(_evaluation(120), _comparison(0.5, 2.0), GateSettings())
    assert decision.verdict == "refused" and decision.champion_beaten and not decision.recall_reached
    assert len(decision.reasons) == 7


def test_a_tie_does_not_promote() -> None:
    rng = np.random.default_rng(1)
    labels = (rng.random(200) < 0.6).astype(int)
    side = _side(rng, labels, 1.5)
    tie = compare(
        labels, side, side, np.arange(200), classes=CLASSES, positive_class="yes", champion_version="1"
    )
    assert tie.auc_difference.value == tie.auc_difference.lower == tie.auc_difference.upper == 0
    assert tie.p_value == 1 and tie.only_champion_right == tie.only_challenger_right == 0
    for on in ("lower bound", "value"):
        decision = decide(_evaluation(147), tie, GateSettings.model_validate({"on": on}))
        assert decision.verdict == "refused" and "does not exceed" in decision.reasons[0]


def test_equal_models_are_seldom_promoted() -> None:
    promoted = [
        decide(_evaluation(147), _comparison(1.5, 1.5, seed=seed), GateSettings()).verdict == "promoted"
        for seed in range(120)
    ]
    assert np.mean(promoted) <= 0.06


def test_a_margin_must_be_exceeded() -> None:
    comparison = _comparison(0.5, 2.0)
    assert decide(_evaluation(147), comparison, GateSettings(margin=0.5)).verdict == "refused"


def test_recall_must_not_be_paid_for_auc() -> None:
    comparison = _comparison(0.5, 2.0)
    worse = comparison.model_copy(
        update={
            "recall_difference": comparison.recall_difference.model_copy(
                update={"value": -0.05, "lower": -0.09, "upper": -0.01}
            )
        }
    )
    decision = decide(_evaluation(147), worse, GateSettings())
    assert decision.verdict == "refused" and "more than the loss of 0.02" in decision.reasons[0]
    assert "recall minus that of the champion (version 4) −0.050" in decision.reasons[0]


def test_too_few_common_images_are_not_compared() -> None:
    decision = decide(_evaluation(147), _comparison(0.5, 2.0, n=49), GateSettings())
    assert decision.verdict == "refused" and "only 49 images in 49 groups" in decision.reasons[0]
    none = compare(
        [],
        (np.zeros((0, 2)), []),
        (np.zeros((0, 2)), []),
        [],
        classes=CLASSES,
        positive_class="yes",
        champion_version="1",
    )
    assert none.n == 0 and none.auc_difference.value is None
    assert decide(_evaluation(147), none, GateSettings()).verdict == "refused"


def test_paired_figures_know_that_the_images_are_the_same() -> None:
    """Two models that differ on a few images: the paired interval is far narrower than the unpaired."""
    rng = np.random.default_rng(2)
    labels = (rng.random(250) < 0.6).astype(int)
    chance, _ = _side(rng, labels, 1.2)
    nudged = np.clip(chance[:, 1] + rng.normal(0, 0.01, 250), 0, 1)
    other = np.stack([1 - nudged, nudged], axis=1)
    sides = [(p, (p[:, 1] >= 0.5).astype(int)) for p in (chance, other)]
    found = compare(
        labels,
        sides[0],
        sides[1],
        np.arange(250),
        classes=CLASSES,
        positive_class="yes",
        champion_version="1",
    )
    assert found.auc_difference.lower is not None and found.auc_difference.upper is not None
    assert found.auc_difference.upper - found.auc_difference.lower < 0.01
    assert found.n == 250 and found.n_groups == 250


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_single_images_give_the_exact_mcnemar_test_and_copies_change_nothing(
    rows: list[tuple[bool, bool]],
) -> None:
    champion, challenger = (np.array(column) for column in zip(*rows, strict=True))
    labels = np.arange(len(rows)) % 2

    def side(wrong: np.ndarray, times: int) -> tuple[np.ndarray, np.ndarray]:
        guess = np.repeat(np.where(wrong, 1 - labels, labels), times)
        return np.eye(2)[guess], guess

    once, thrice = (
        compare(
            np.repeat(labels, times),
            side(champion, times),
            side(challenger, times),
            np.repeat(np.arange(len(rows)), times),
            classes=CLASSES,
            positive_class="yes",
            champion_version="1",
            resamples=20,
        )
        for times in (1, 3)
    )
    better, worse = int((champion & ~challenger).sum()), int((challenger & ~champion).sum())
    expected = 1.0 if better + worse == 0 else float(binomtest(better, better + worse, 0.5).pvalue)
    assert once.p_value == pytest.approx(expected) == thrice.p_value
    assert (once.only_challenger_right, once.only_champion_right) == (better, worse)
    assert Comparison.model_validate_json(once.model_dump_json()) == once


def _compared(labels: np.ndarray, wrong: tuple[np.ndarray, np.ndarray], groups: np.ndarray) -> Comparison:
    """Two models by what they get wrong."""
    guesses = [np.where(side, 1 - labels, labels) for side in wrong]
    sides = [(np.eye(2)[guess] * 0.8 + 0.1, guess) for guess in guesses]
    return compare(
        labels,
        sides[0],
        sides[1],
        groups,
        classes=CLASSES,
        positive_class="yes",
        champion_version="1",
        resamples=400,
    )


def test_one_patient_with_many_more_errors_is_not_outvoted_by_many_with_one_less() -> None:
    """Twenty patients one slice better, one patient forty worse: no evidence for the model that is worse in sum."""
    groups = np.r_[np.repeat(np.arange(20), 2), np.full(40, 20)]
    labels = np.arange(80) % 2
    champion = np.r_[np.tile([True, False], 20), np.zeros(40, dtype=bool)]
    challenger = np.r_[np.zeros(40, dtype=bool), np.ones(40, dtype=bool)]
    found = _compared(labels, (champion, challenger), groups)
    assert (found.champion.errors, found.challenger.errors) == (20, 40)
    assert found.p_value > 0.5


@pytest.mark.parametrize("patients", [12, 40])
def test_the_test_of_errors_keeps_its_level_in_unequal_groups(patients: int) -> None:
    """Between equally good models p < 0.05 is seen in at most 5 of 100 data sets, but for chance."""
    rng = np.random.default_rng(7)
    small, runs = 0, 300
    for _ in range(runs):
        net = rng.integers(0, 9, patients) * rng.choice([-1, 1], patients)
        images = np.abs(net)
        groups, labels = np.repeat(np.arange(patients), images), np.zeros(images.sum(), dtype=int)
        worse = np.repeat(net > 0, images)
        small += _sign_test(np.where(worse, 1, -1), groups) < 0.05 if labels.size else 0
    assert small / runs < 0.08


def test_very_many_errors_are_tested_by_the_normal_law() -> None:
    groups = np.arange(4200)
    even = np.tile([1, -1], 2100)
    assert _sign_test(even, groups) == 1.0
    exact = 2 * norm.sf((4200 * 0.04 - 0.5) / np.sqrt(4200))
    assert _sign_test(np.where(groups < 2184, 1, -1), groups) == pytest.approx(exact)


def test_groups_are_counted_and_not_their_images() -> None:
    one_patient = np.r_[np.zeros(60, dtype=int), np.arange(1, 31)]
    labels = np.arange(90) % 2
    nothing = np.zeros(90, dtype=bool)
    decision = decide(_evaluation(147), _compared(labels, (nothing, nothing), one_patient), GateSettings())
    assert decision.verdict == "refused"
    assert "only 90 images in 31 groups are unseen by both" in decision.reasons[0]


def _operated(
    scores: np.ndarray, labels: np.ndarray, folds: np.ndarray, insist: bool
) -> tuple[np.ndarray, np.ndarray]:
    logits = np.stack([-scores / 2, scores / 2], axis=1)
    judged = judge(
        JudgedImages(labels, logits, np.eye(5)[folds], np.arange(labels.size)),
        folds,
        straddling=np.zeros(labels.size, dtype=np.bool_),
        reported_folds=frozenset(range(5)),
        positive=1,
        rule=ThresholdRule(insist_on_target=insist),
    )
    return judged.probabilities, judged.predicted


@pytest.mark.parametrize("insist", [True])
def test_a_challenger_that_is_blind_to_some_is_refused_though_its_auc_is_better(insist: bool) -> None:
    """Sharper, but blind to 11 % of positives: it misses them, or raises far more false alarms to find them."""
    promoted = by_auc = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        labels = (rng.random(1200) < 0.61).astype(np.int64)
        hard, folds = rng.normal(size=1200), rng.integers(0, 5, 1200)
        champion = 2.07 * labels + hard + rng.normal(scale=0.3, size=1200)
        seen = labels * (rng.random(1200) > 0.11)
        challenger = 3.4 * seen + hard + rng.normal(scale=0.3, size=1200)
        comparison = compare(
            labels,
            _operated(champion, labels, folds, insist),
            _operated(challenger, labels, folds, insist),
            np.arange(1200),
            classes=CLASSES,
            positive_class="yes",
            champion_version="1",
            resamples=300,
        )
        decision = decide(_evaluation(147), comparison, GateSettings())
        promoted += decision.verdict == "promoted"
        by_auc += comparison.auc_difference.lower is not None and comparison.auc_difference.lower > 0
    assert by_auc >= 10, "its AUC alone would promote it"
    assert promoted <= 1


def test_each_further_model_makes_the_comparison_stricter() -> None:
    assert Looks().level(0.05) == Looks(models=24).level(0.05) == pytest.approx(0.05 / 12)
    assert Looks(models=60).level(0.05) == pytest.approx(0.05 / 30)
    rng = np.random.default_rng(0)
    labels = (rng.random(250) < 0.6).astype(int)
    sides = _side(rng, labels, 1.0), _side(rng, labels, 1.3)

    def floor(level: float) -> float:
        found = compare(
            labels,
            *sides,
            np.arange(250),
            classes=CLASSES,
            positive_class="yes",
            champion_version="1",
            level=level,
        )
        assert found.auc_floor is not None and found.floor_level == level
        return found.auc_floor

    assert floor(0.0005) < floor(0.005) < floor(0.025)
    said = decide(_evaluation(147), None, GateSettings(), looks=Looks(models=7, searches=2)).reasons[-1]
    assert said.startswith("7 other models and 2 searches were judged on images of this data set before")


def test_a_grown_challenger_that_is_not_worse_renews_the_champion_only_where_asked() -> None:
    rng = np.random.default_rng(1)
    labels = (rng.random(400) < 0.6).astype(int)
    side = _side(rng, labels, 1.5)
    tie = compare(
        labels, side, side, np.arange(400), classes=CLASSES, positive_class="yes", champion_version="1"
    )
    renewing = GateSettings(renew_with_growth=0.5)
    assert decide(_evaluation(147), tie, GateSettings(), growth=0.8).verdict == "refused"
    assert decide(_evaluation(147), tie, renewing, growth=0.2).verdict == "refused"
    renewed = decide(_evaluation(147), tie, renewing, growth=0.8)
    assert renewed.verdict == "promoted"
    assert any(
        "it learnt from +80% images and is shown to lose less than 0.01" in why for why in renewed.reasons
    )
    worse = tie.model_copy(
        update={
            "auc_difference": tie.auc_difference.model_copy(
                update={"value": -0.005, "lower": -0.02, "upper": 0.01}
            ),
            "auc_floor": -0.03,
        }
    )
    assert decide(_evaluation(147), worse, renewing, growth=0.8).verdict == "refused"


def test_sides_of_different_length_are_refused() -> None:
    side = (np.full((3, 2), 0.5), [0, 0, 0])
    with pytest.raises(DataSetUnusable, match="cannot be compared"):
        compare(
            [0, 1],
            side,
            side,
            [0, 1],
            classes=CLASSES,
            positive_class="yes",
            champion_version="1",
        )


def test_the_text_shows_on_which_side_of_the_bar_a_figure_lies() -> None:
    evaluation = _evaluation(147)
    lower = evaluation.recall.lower
    assert lower is not None
    decision = decide(evaluation, None, GateSettings(min_recall=lower + 1e-4))
    shown = float(decision.reasons[0].split("lower bound ")[1].split(" ")[0])
    assert shown < lower + 1e-4 and decision.verdict == "refused"


def _judged(scores: np.ndarray, labels: np.ndarray, seed: int) -> Evaluation:
    """Through the rules of a run: out-of-fold thresholds for a recall of 0.95."""
    folds = np.random.default_rng(seed).permutation(labels.size) % 5
    logits = np.stack([-scores / 2, scores / 2], axis=1)
    judged = judge(
        JudgedImages(labels, logits, np.eye(5)[folds], np.arange(labels.size)),
        folds,
        straddling=np.zeros(labels.size, dtype=np.bool_),
        reported_folds=frozenset(range(5)),
        positive=1,
        rule=ThresholdRule(),
    )
    return evaluate(
        labels,
        judged.probabilities,
        judged.predicted,
        np.arange(labels.size),
        CLASSES,
        positive_class="yes",
        protocol="cross_validation",
        resamples=200,
    )


@pytest.mark.parametrize("model", ["coin", "inverted", "constant"])
def test_a_model_that_knows_nothing_is_refused_whatever_recall_it_reaches(model: str) -> None:
    labels = np.r_[np.ones(155, dtype=np.int64), np.zeros(98, dtype=np.int64)]
    promoted = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        noise = rng.normal(size=labels.size)
        scores = {"coin": noise, "inverted": noise - labels, "constant": np.zeros(labels.size)}[model]
        evaluation = _judged(scores, labels, seed)
        assert evaluation.recall.value is not None and evaluation.recall.value > 0.9
        decision = decide(evaluation, None, GateSettings(min_recall=0.8))
        promoted += decision.verdict == "promoted"
        if not decision.above_chance:
            words = [check.words for check in decision.checks if check.question == "chance"]
            assert words[0].startswith("the model is NOT shown to be better than chance. AUC")
    assert promoted <= 2, "of 40 coins one is expected to seem better at the 2.5 % level"


def test_a_figure_above_a_half_is_no_evidence_even_where_values_are_compared() -> None:
    labels = np.r_[np.ones(30, dtype=np.int64), np.zeros(30, dtype=np.int64)]
    scores = np.random.default_rng(6).normal(size=60) + 0.1 * labels
    evaluation = _judged(scores, labels, 0)
    assert evaluation.auc.value is not None and evaluation.auc.value > 0.5
    assert decide(evaluation, None, GateSettings(min_recall=0.1, on="value")).verdict == "refused"
