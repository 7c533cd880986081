"""The trainings of a search: what was tried so far, what it said of what it never saw, and what that took."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from scipy.special import softmax

from tasks.automl.fold_search import Candidate, Proposals
from tasks.automl.scope import SearchScope
from tasks.automl.space import Base, base_of, probe_of
from tasks.automl.time import Budget, Step
from tasks.automl.trainer import Trained, Trainer
from tasks.automl.trials import Trial
from tasks.automl.units import Answers, Unit
from tasks.errors import TrainingError
from tasks.training.recipes import FineTune, Probe


class Trainings:
    """Has trained what a search asks for, each training once, and keeps what came of it."""

    def __init__(self, scope: SearchScope, trainer: Trainer, budget: Budget) -> None:
        self._scope, self._trainer, self._budget = scope, trainer, budget
        self.trials: dict[FineTune | Probe, Trial] = {}

    def probe(self, base: Base) -> Trial:
        """Fit linear heads on a base, one for each pair of folds."""
        recipe = probe_of(base, self._scope.root)
        trial = self._trial(recipe, {"base": base.name})
        units = self._scope.units(self._scope.folds, everywhere=True)
        trained = self._trainer.probe(recipe, units)
        if isinstance(trained, TrainingError):
            trial.reason = trained.message
            return trial
        if trained.reused:
            self._budget.add_earlier(trained.seconds)
        self._note(trial, trained, epochs=0)
        self._budget.measured(base, trained.seconds / len(units))
        return trial

    def train(self, proposals: Proposals, *, whole: bool) -> None:
        """Train what is needed and not there yet: its first epochs, or to its end."""
        needed = self.needed(proposals, whole=whole)
        wanted = [(one.recipe, unit, self._scope.looked_at(one.recipe, whole=whole)) for one, unit in needed]
        for candidate, _ in needed:
            self._trial(candidate.recipe, candidate.values)
        spent: dict[Step, list[float]] = {}
        for (recipe, _, epochs), trained in zip(wanted, self._trainer.train(wanted), strict=True):
            trial = self.trials[recipe]
            if isinstance(trained, TrainingError):
                trial.reason = trained.message
                continue
            if trained.reused:
                self._budget.add_earlier(trained.seconds / self._scope.settings.max_concurrent_trials)
            self._note(trial, trained, epochs)
            for scored, seconds in ((True, trained.seconds), (False, trained.unscored_seconds)):
                step = Step(base_of(recipe), rest=whole, scored=scored)
                an_epoch = seconds / self._scope.epochs_between(recipe, whole=whole)
                spent.setdefault(step, []).append(an_epoch)
        for step, seconds_of_epochs in spent.items():
            self._budget.measured(step, float(np.mean(seconds_of_epochs)))

    def needed(self, proposals: Proposals, *, whole: bool) -> list[tuple[Candidate, Unit]]:
        """The trainings for these proposals that are not there yet, each once, a recipe's side by side."""
        needed = {
            (candidate.recipe, unit): candidate
            for fold, some in proposals.items()
            for candidate in some
            for unit in self._scope.units([fold])
        }
        order = {recipe: place for place, recipe in enumerate(dict.fromkeys(recipe for recipe, _ in needed))}
        done = {
            (recipe, unit)
            for recipe, trial in self.trials.items()
            if isinstance(recipe, FineTune)
            for unit in trial.answers.get(self._scope.looked_at(recipe, whole=whole), ())
        }
        wanted = sorted((key for key in needed if key not in done), key=lambda key: order[key[0]])
        return [(needed[key], key[1]) for key in wanted]

    def score(self, trial: Trial, fold: int, epochs: int) -> float:
        """A recipe's figure for a fold's choice; NaN where one of its trainings failed."""
        units = self._scope.units([fold], everywhere=not epochs)
        if any(unit not in trial.answers.get(epochs, {}) for unit in units):
            return math.nan
        answers = trial.counts(fold, units, epochs)
        labels = np.concatenate([part.labels for part in answers])
        probabilities = softmax(np.concatenate([part.logits for part in answers]), axis=1)
        return self._scope.settings.objective.score(labels, probabilities, self._scope.positive)

    def counted(self, recipe: FineTune | Probe, fold: int) -> list[Answers]:
        """What a recipe's furthest networks say that counts for a fold's choice, on the inner folds of fine-tunings."""
        trial, units = self.trials[recipe], self._scope.units([fold])
        furthest = max(epochs for epochs, answers in trial.answers.items() if set(units) <= set(answers))
        return trial.counts(fold, units, furthest)

    def forget(self, trials: Iterable[Trial]) -> None:
        """Let go what these would have gone on from."""
        for trial in trials:
            if isinstance(trial.recipe, FineTune):
                self._trainer.forget(trial.recipe, self._scope.units(self._scope.folds))

    def _note(self, trial: Trial, trained: Trained, epochs: int) -> None:
        trial.answers.setdefault(epochs, {}).update(trained.answers)
        if trained.losses:
            trial.losses.update(dict.fromkeys(trained.answers, trained.losses))
        trial.seconds += trained.seconds
        trial.trainings += len(trained.answers)
        trial.finished_at = self._budget.used_seconds

    def _trial(self, recipe: FineTune | Probe, values: Mapping[str, Any]) -> Trial:
        if recipe not in self.trials:
            self.trials[recipe] = Trial(len(self.trials) + 1, recipe, values)
        return self.trials[recipe]
