"""What a search optimises, and how sure a figure of it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from tasks.automl.objective import Objective
from tasks.automl.trials import estimated, paired_difference, pooled
from tasks.automl.units import Answers

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1])
SCORES = np.array([0.1, 0.2, 0.3, 0.6, 0.4, 0.7, 0.8, 0.9])
PROBABILITIES = np.stack([1 - SCORES, SCORES], axis=1)


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (Objective(), 15 / 16),
        (Objective(metric="recall_at_specificity", specificity=0.75), 1.0),
        (Objective(metric="recall_at_specificity", specificity=0.99), 0.75),
        (Objective(metric="balanced_accuracy"), 0.75),
        (Objective(metric="f_beta", beta=2), 0.75),
    ],
)
def test_figures_by_hand(objective: Objective, expected: float) -> None:
    assert objective.score(LABELS, PROBABILITIES, 1) == pytest.approx(expected)


@given(st.lists(st.floats(0.01, 0.99), min_size=8, max_size=8), st.sampled_from(["auc", "log_loss"]))
def test_better_probabilities_never_score_worse(scores: list[float], metric: str) -> None:
    objective = Objective(metric=metric)
    values = np.array(scores)
    towards_truth = 0.5 * values + 0.5 * LABELS
    before, after = (
        objective.score(LABELS, np.stack([1 - v, v], axis=1), 1) for v in (values, towards_truth)
    )
    assert after >= before - 1e-12


def test_log_loss_is_small_when_it_is_good_and_shown_as_people_know_it() -> None:
    objective = Objective(metric="log_loss")
    score = objective.score(LABELS, PROBABILITIES, 1)
    assert score < 0
    assert objective.shown(score) == -score


def test_many_classes_are_a_mean_over_each_against_the_rest() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 10)
    probabilities = rng.dirichlet(np.ones(3), 30)
    expected = np.mean([roc_auc_score(labels == c, probabilities[:, c]) for c in range(3)])
    assert Objective().score(labels, probabilities, None) == pytest.approx(expected)


def test_a_missing_class_gives_no_figure() -> None:
    assert np.isnan(Objective().score(np.zeros(4, int), PROBABILITIES[:4], 1))


def test_answers_of_several_networks_are_averaged_and_the_interval_holds_the_figure() -> None:
    logits = np.log(PROBABILITIES)
    names = tuple("abcdefgh")
    parts = [Answers(names, LABELS, names, logits), Answers(names, LABELS, names, -logits)]
    labels, probabilities, groups = pooled(parts)
    assert labels.tolist() == LABELS.tolist()
    assert groups == names
    assert np.allclose(probabilities, 0.5)
    score, lower, upper = estimated(Objective(), parts[:1], 1)
    assert lower <= score == 15 / 16 <= upper
    assert lower < upper


@pytest.mark.parametrize("metric", ["auc", "balanced_accuracy"])
def test_a_difference_is_of_the_same_contents_and_knows_its_noise(metric: str) -> None:
    objective = Objective.model_validate({"metric": metric})
    rng = np.random.default_rng(0)
    n = 200
    labels, names = np.arange(n) % 2, tuple(f"{i:03d}" for i in range(n))
    good = np.stack([-labels, labels], axis=1) * 0.5 + rng.normal(size=(n, 2))
    better = np.stack([-labels, labels], axis=1) * 3 + rng.normal(size=(n, 2))
    one, other = Answers(names, labels, names, better), Answers(names, labels, names, good)
    difference, error = paired_difference(objective, [one], [other], 1)
    assert difference > 2 * error > 0
    back, same = paired_difference(objective, [other], [one], 1)
    assert back == pytest.approx(-difference)
    assert same == pytest.approx(error)
    assert paired_difference(objective, [one], [one], 1) == (0.0, 0.0)
    with pytest.raises(ValueError, match="different contents"):
        paired_difference(objective, [one], [Answers(names, 1 - labels, names, good)], 1)
