"""The funnel with a trainer that only draws: whole searches in milliseconds, on a clock of their own."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from zlib import crc32

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasks.automl.funnel import Funnel, FunnelResult
from tasks.automl.scope import SearchScope
from tasks.automl.settings import Range, SearchSettings, SearchSpace
from tasks.automl.space import Base
from tasks.automl.trainer import Trained
from tasks.automl.tried import Tried
from tasks.automl.units import Answers, Unit
from tasks.errors import ConfigError, TrainingError
from tasks.images.settings import Preprocessing
from tasks.training.recipes import PRESETS, FineTune, Probe

optuna.logging.set_verbosity(optuna.logging.WARNING)

N_FOLDS, A_FOLD = 3, 40
LABELS = {fold: np.arange(A_FOLD, dtype=np.int64) % 2 for fold in range(N_FOLDS)}
SPACE = SearchSpace(learning_rate=Range(low=1e-4, high=3e-3), epochs=(2, 4))
Skill = Callable[[FineTune | Probe], float]
Recipe = FineTune | Probe


def root() -> FineTune:
    recipe = PRESETS["fast"]
    assert isinstance(recipe, FineTune)
    return recipe


def by_learning_rate(recipe: Recipe) -> float:
    """How well its networks tell the classes apart; heads worse than any fine-tuning."""
    return 0.3 if isinstance(recipe, Probe) else 0.5 + 1000 * recipe.optimisation.learning_rate


@dataclass
class Drawn:
    """A trainer whose networks lean towards the truth by a recipe's skill; an epoch takes `epoch_seconds`."""

    skill: Skill = by_learning_rate
    labels: dict[int, NDArray[np.int64]] = field(default_factory=lambda: dict(LABELS))
    epoch_seconds: float = 1.0
    now: float = 0.0
    asked: list[tuple[FineTune, Unit, int]] = field(default_factory=list)

    def probe(self, recipe: Probe, units: Sequence[Unit]) -> Trained | TrainingError:
        """Heads."""
        self.now += 1.0
        return Trained({unit: self._said(recipe, unit) for unit in units}, 1.0, 1.0)

    def train(self, wanted: Sequence[tuple[FineTune, Unit, int]]) -> Sequence[Trained | TrainingError]:
        """Fine-tunings."""
        self.asked += wanted
        return [self._trained(recipe, unit, epochs) for recipe, unit, epochs in wanted]

    def forget(self, recipe: FineTune, units: Iterable[Unit]) -> None:
        """Nothing is kept."""

    def seconds_an_image(self, base: Base) -> float:
        """In proportion to the picture."""
        return 1e-8 * base.preprocessing.size_px**2

    def _trained(self, recipe: FineTune, unit: Unit, epochs: int) -> Trained | TrainingError:
        seconds = self.epoch_seconds * epochs / 2  # an epoch of the first half, or of the rest
        self.now += seconds
        losses = {epoch: 1.0 / epoch for epoch in range(1, epochs + 1)}
        return Trained({unit: self._said(recipe, unit)}, seconds, seconds, losses=losses)

    def _said(self, recipe: Recipe, unit: Unit) -> dict[int, Answers]:
        rng = np.random.default_rng([crc32(recipe.model_dump_json().encode()), *sorted(unit)])
        learnt = np.concatenate([self.labels[fold] for fold in self.labels if fold not in unit]).mean()
        names = {fold: tuple(f"{fold}-{place}" for place in range(A_FOLD)) for fold in unit}
        noise = {fold: rng.normal(size=A_FOLD) + learnt for fold in sorted(unit)}
        leaning = {fold: self.skill(recipe) * (2 * LABELS[fold] - 1) + noise[fold] for fold in unit}
        return {
            fold: Answers(names[fold], self.labels[fold], names[fold], np.stack([-said, said], axis=1))
            for fold, said in leaning.items()
        }


def scope(**changes: object) -> SearchScope:
    """A small search; `changes` are of its settings."""
    own = root()
    other = Base("resnet18", Preprocessing(size_px=64))
    return SearchScope(
        protocol="cross_validation",
        n_folds=N_FOLDS,
        positive=1,
        contents=N_FOLDS * A_FOLD,
        root=own,
        bases=(Base(own.backbone, own.preprocessing), other),
        settings=SearchSettings.model_validate(
            {"minutes": 30, "max_trials": 6, "bases": 2, "survivors": 2, "space": SPACE, **changes}
        ),
        seed=0,
        refit=True,
    )


def searched(trainer: Drawn, about: SearchScope | None = None) -> FunnelResult:
    return Funnel(about or scope(), trainer, clock=lambda: trainer.now).result()


def test_every_fold_gets_a_recipe_and_every_recipe_a_row() -> None:
    trainer = Drawn()
    result = searched(trainer)
    assert len(result.chosen.members) == N_FOLDS
    assert result.chosen.served in result.chosen.members
    kinds = [row.kind for row in result.leaderboard]
    assert (kinds.count("probe"), kinds.count("fine_tune")) == (2, 6)
    assert sorted(fold for row in result.leaderboard for fold in row.chosen_for) == [0, 1, 2]
    scores = [row.score for row in result.leaderboard if row.score is not None]
    assert len(scores) == 8
    assert scores == sorted(scores, reverse=True)
    for row in result.leaderboard:
        assert row.lower is not None and row.score is not None and row.upper is not None
        assert row.lower <= row.score <= row.upper
        if row.kind == "fine_tune":
            assert row.state == ("survivor" if row.epochs == row.values["epochs"] else "stopped early")
            assert [point.epoch for point in row.curve] == list(range(1, row.epochs + 1))
    assert {"survivor", "stopped early"} <= {row.state for row in result.leaderboard}
    assert result.tuned.keys() == {0, 1, 2}
    assert result.seconds == trainer.now


def test_no_training_is_asked_for_twice_and_none_of_what_a_search_must_not_see() -> None:
    trainer = Drawn()
    searched(trainer)
    assert len(trainer.asked) == len(set(trainer.asked))
    assert {len(unit) for _, unit, _ in trainer.asked} == {2}


@settings(max_examples=8)
@given(fold=st.integers(0, N_FOLDS - 1), spread=st.floats(0.1, 3.0), seed=st.integers(0, 100))
def test_what_a_fold_says_has_no_say_in_its_recipe(fold: int, spread: float, seed: int) -> None:
    """All labels of a fold turned round: other folds' recipes may change; its own search goes the same way.

    Only how far it goes before the folds together have used up what they share, trials or time, may differ.
    """

    def skill(recipe: Recipe) -> float:
        rng = np.random.default_rng([seed, crc32(recipe.model_dump_json().encode())])
        return float(rng.uniform(0, spread))

    def way(labels: dict[int, NDArray[np.int64]]) -> tuple[dict[FineTune, float], object, tuple[Tried, ...]]:
        """The scores by which the fold's recipe is chosen, the choice, and the leaderboard."""
        trainer = Drawn(skill, labels=labels)
        funnel = Funnel(scope(max_trials=4), trainer, clock=lambda: trainer.now)
        result = funnel.result()
        scores = {}
        for one in funnel.searches[fold].survivors(100):
            epochs = funnel.scope.first_epochs(one.recipe)
            scores[one.recipe] = funnel.trainings.score(funnel.trials[one.recipe], fold, epochs)
        return scores, result.chosen.members[fold], result.leaderboard

    ways = [way(dict(LABELS)), way({**LABELS, fold: 1 - LABELS[fold]})]
    (honest, chosen, rows), (lied_to, same, other_rows) = ways
    shared = honest.keys() & lied_to.keys()
    assert shared in (honest.keys(), lied_to.keys()), "one went the other's way, as far as it went"
    assert {recipe: honest[recipe] for recipe in shared} == {recipe: lied_to[recipe] for recipe in shared}
    assert chosen == same or honest.keys() != lied_to.keys()
    assert rows != other_rows


def test_the_preset_stays_where_nothing_is_better_beyond_chance_and_goes_where_something_is() -> None:
    same = searched(Drawn(lambda recipe: 0.5 + 0.001 * isinstance(recipe, FineTune)))
    preset = root().optimisation
    for member in same.chosen.members:
        assert isinstance(member, FineTune)
        assert (member.backbone, member.optimisation) == (root().backbone, preset)
    better = searched(Drawn(lambda recipe: 3.0 if recipe.backbone == "resnet18" else 0.1))
    assert {member.backbone for member in better.chosen.members} == {"resnet18"}


@pytest.mark.parametrize("minutes", [2.0, 4.0])
def test_search_and_members_are_expected_to_take_their_minutes_and_no_tenth_more(minutes: float) -> None:
    trainer = Drawn()
    about = scope(minutes=minutes, max_trials=None)
    result = searched(trainer, about)
    recipes = [recipe for recipe in result.chosen.members if isinstance(recipe, FineTune)]
    a_network = np.mean([one.optimisation.epochs * one.optimisation.runs for one in recipes])
    members = float(a_network) * trainer.epoch_seconds * about.n_networks * (N_FOLDS - 1) / (N_FOLDS - 2)
    assert result.seconds + members <= 1.1 * 60 * minutes
    assert len(result.leaderboard) >= 3


def test_a_budget_too_small_for_one_trial_is_refused_before_any_training() -> None:
    trainer = Drawn()
    with pytest.raises(ConfigError, match="too short") as caught:
        searched(trainer, scope(minutes=0.001))
    assert "minutes or more" in caught.value.cure
    assert trainer.now == 0


class Failing(Drawn):
    """No fine-tuning of a backbone succeeds."""

    backbones: tuple[str, ...] = ("resnet18",)

    def _trained(self, recipe: FineTune, unit: Unit, epochs: int) -> Trained | TrainingError:
        if recipe.backbone in self.backbones:
            return TrainingError("the loss is not finite", cure="lower the learning rate")
        return super()._trained(recipe, unit, epochs)


def test_a_training_that_fails_is_a_row_with_a_reason_and_never_a_choice() -> None:
    result = searched(Failing(lambda recipe: 3.0 if recipe.backbone == "resnet18" else 1.0))
    failed = [row for row in result.leaderboard if row.state == "failed"]
    assert failed
    for row in failed:
        assert (row.backbone, row.score, row.reason) == ("resnet18", None, "the loss is not finite")
        assert not row.chosen_for
    assert failed == list(result.leaderboard)[-len(failed) :]
    assert not any(isinstance(one, FineTune) and one.backbone == "resnet18" for one in result.chosen.members)


def test_where_every_fine_tuning_fails_a_head_is_chosen_or_nothing_where_none_may_be() -> None:
    trainer = Failing()
    trainer.backbones = ("resnet18", root().backbone)
    heads = searched(trainer)
    assert all(isinstance(one, Probe) for one in heads.chosen.members)
    assert not heads.tuned
    with pytest.raises(TrainingError, match="nothing could be trained for fold 0"):
        searched(trainer, scope(space=SPACE.model_copy(update={"kinds": ("fine_tune",)})))


def test_what_an_earlier_search_chose_is_tried_and_what_it_spent_is_counted() -> None:
    class Reused(Drawn):
        """Nothing takes any time: all was done before."""

        def _trained(self, recipe: FineTune, unit: Unit, epochs: int) -> Trained | TrainingError:
            before = self.now
            trained = super()._trained(recipe, unit, epochs)
            self.now = before
            assert isinstance(trained, Trained)
            return replace(trained, reused=True)

    values = dict(searched(Drawn()).tuned[0]) | {"learning_rate": 0.0029}
    about = replace(scope(), earlier={fold: [values] for fold in range(N_FOLDS)})
    result = searched(Reused(), about)
    assert 0.0029 in [row.values.get("learning_rate") for row in result.leaderboard]
    fine_tuned = sum(row.seconds for row in result.leaderboard if row.kind == "fine_tune")
    assert result.seconds == pytest.approx(fine_tuned + 2.0)
