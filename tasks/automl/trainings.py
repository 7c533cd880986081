"""The trainings of a search: what was tried so far, what it said of what it never saw, and what that took."""

import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from scipy.special import softmax

from tasks.automl.budget import Budget
from tasks.automl.fold_search import Candidate
from tasks.automl.settings import SearchSettings
from tasks.automl.space import Base, probe_of
from tasks.automl.trials import Trial
from tasks.automl.units import Answers, Unit, asked_folds, units_for
from tasks.catalogue import Catalogue, read_catalogue
from tasks.engine.many import run_many
from tasks.engine.run import Run
from tasks.errors import TrainingError
from tasks.evaluation.out_of_fold import reported_folds
from tasks.ingest import Listing
from tasks.prepare import ImageCache, prepare_images
from tasks.search_trainings import (
    checkpoint_folder,
    probe_base,
    probed_sample,
    read_answers,
    train_unit,
)
from tasks.training.probe_features import seconds_an_image
from tasks.training.recipes import FineTune, Probe, TrainingOptions, WeightsChoice

Proposals = Mapping[int, Sequence[Candidate]]
"""What each fold's search proposes."""


@dataclass(frozen=True)
class Step:
    """A part of a training on a base: its first epochs or the rest, with or without scoring what it left out."""

    base: Base
    rest: bool
    scored: bool


class Trainings:
    """Runs what a search asks for, each training once, and keeps what came of it."""

    def __init__(
        self,
        run: Run,
        listing: Listing,
        catalogue: Catalogue,
        settings: SearchSettings,
        options: TrainingOptions,
    ) -> None:
        self._run, self._listing, self._catalogue = run, listing, catalogue
        self._settings, self._options = settings, options
        self._pixels: dict[str, ImageCache] = {}
        self.table = read_catalogue(run, catalogue)
        self._sample = frozenset(probed_sample(self.table))
        self.folds = sorted(reported_folds(catalogue.protocol, catalogue.n_folds))
        self.positive = catalogue.positive_index
        self.budget: Budget[Step] = Budget(settings.minutes)
        self.trials: dict[FineTune | Probe, Trial] = {}

    def probe(self, base: Base, root: FineTune) -> Trial:
        """Fit linear heads on a base, one for each pair of folds."""
        trial = self._trial(probe_of(base, root), {"base": base.name})
        units = self.units(self.folds, everywhere=True)
        call = (
            self._catalogue,
            self._prepared(base),
            trial.recipe,
            tuple(tuple(sorted(unit)) for unit in units),
            tuple(asked_folds(self._catalogue.protocol, unit) for unit in units),
            self._options,
        )
        [outcome] = run_many(probe_base, self._run, [call], 1)
        if isinstance(outcome, TrainingError):
            trial.reason = outcome.message
            return trial
        probed, reused = outcome.record, outcome.reused
        if reused:
            self.budget.add_earlier(probed.seconds)
        for unit, answers in zip(units, probed.units, strict=True):
            trial.answers.setdefault(0, {})[unit] = read_answers(self._run, self.table, answers, self._sample)
        trial.seconds += probed.seconds if reused else outcome.seconds
        trial.trainings += len(units)
        trial.finished_at = self.budget.used_seconds
        return trial

    def train(self, proposals: Proposals, *, whole: bool) -> None:
        """Train what is needed and not there yet."""
        needed = self.needed(proposals, whole=whole)
        calls, places = [], []
        for candidate, unit in needed:
            recipe = candidate.recipe
            trial = self._trial(recipe, candidate.values)
            epochs = recipe.optimisation.epochs if whole else self.first_epochs(recipe)
            places.append((trial, recipe, unit, epochs))
            held_out = tuple(sorted(unit))
            asked = asked_folds(self._catalogue.protocol, unit)
            calls.append(
                (
                    self._catalogue,
                    self._prepared(_base(recipe)),
                    recipe,
                    held_out,
                    asked,
                    epochs,
                    self._options,
                )
            )
        at_once = self._settings.max_concurrent_trials
        outcomes = run_many(train_unit, self._run, calls, at_once)
        spent: dict[Step, list[float]] = {}
        for (trial, recipe, unit, epochs), outcome in zip(places, outcomes, strict=True):
            if isinstance(outcome, TrainingError):
                trial.reason = outcome.message
                continue
            answers, seconds = outcome.record, outcome.seconds
            if outcome.reused:
                seconds = answers.seconds
                self.budget.add_earlier(seconds / at_once)
            trial.answers.setdefault(epochs, {})[unit] = read_answers(self._run, self.table, answers)
            trial.curves[unit] = [vars(row) for row in answers.curve]
            trial.seconds += seconds
            trial.trainings += 1
            trial.finished_at = self.budget.used_seconds
            for scored, taken in ((True, seconds), (False, answers.seconds)):
                step = Step(_base(recipe), rest=whole, scored=scored)
                spent.setdefault(step, []).append(taken / self._epochs(recipe, whole=whole))
        for step, seconds_of_epochs in spent.items():
            self.budget.measured(step, float(np.mean(seconds_of_epochs)))

    def expected(self, needed: Iterable[tuple[Candidate, Unit]], *, whole: bool) -> float:
        """Seconds that trainings to their first look, or from there to their end, are expected to take; 0 at first."""
        seconds = (
            self._epochs(candidate.recipe, whole=whole)
            * self._epoch_seconds(Step(_base(candidate.recipe), rest=whole, scored=True))
            for candidate, _ in needed
        )
        return sum(seconds) / self._settings.max_concurrent_trials

    def expected_of_member(self, recipe: FineTune | Probe, runs: int) -> float:
        """Seconds that training and training again by a recipe that was tried is expected to take, without scoring.

        Only the first time are the activations of its frozen stages computed.
        """
        if isinstance(recipe, Probe):
            return self.trials[recipe].seconds / max(1, self.trials[recipe].trainings)
        first = self.first_epochs(recipe)
        in_first, in_rest = (
            self._epoch_seconds(Step(_base(recipe), rest=rest, scored=False)) for rest in (False, True)
        )
        return first * in_first + (runs * recipe.optimisation.epochs - first) * in_rest

    def needed(self, proposals: Proposals, *, whole: bool) -> list[tuple[Candidate, Unit]]:
        """The trainings for these proposals, each once, a recipe's side by side."""
        needed = {
            (candidate.recipe, unit): candidate
            for fold, some in proposals.items()
            for candidate in some
            for unit in self.units([fold])
        }
        order = {recipe: place for place, recipe in enumerate(dict.fromkeys(recipe for recipe, _ in needed))}
        done = {
            (recipe, unit)
            for recipe, trial in self.trials.items()
            if isinstance(recipe, FineTune)
            for unit in trial.answers.get(
                recipe.optimisation.epochs if whole else self.first_epochs(recipe), ()
            )
        }
        wanted = sorted((key for key in needed if key not in done), key=lambda key: order[key[0]])
        return [(needed[key], key[1]) for key in wanted]

    def score(self, trial: Trial, fold: int, epochs: int) -> float:
        """A recipe's figure for a fold's choice; NaN where one of its trainings failed."""
        units = self.units([fold], everywhere=not epochs)
        if any(unit not in trial.answers.get(epochs, {}) for unit in units):
            return math.nan
        answers = trial.counts(fold, units, epochs)
        labels = np.concatenate([part.labels for part in answers])
        probabilities = softmax(np.concatenate([part.logits for part in answers]), axis=1)
        return self._settings.objective.score(labels, probabilities, self.positive)

    def counted(self, recipe: FineTune | Probe, fold: int) -> list[Answers]:
        """What a recipe's furthest networks say that counts for a fold's choice, on the inner folds of fine-tunings."""
        trial, units = self.trials[recipe], self.units([fold])
        furthest = max(epochs for epochs, answers in trial.answers.items() if set(units) <= set(answers))
        return trial.counts(fold, units, furthest)

    def units(self, folds: Iterable[int], *, everywhere: bool = False) -> list[Unit]:
        """The trainings for some folds: on the inner folds that are asked for, or on all."""
        n_inner = None if everywhere else self._settings.inner_folds
        protocol, n_folds = self._catalogue.protocol, self._catalogue.n_folds
        return list(
            dict.fromkeys(unit for fold in folds for unit in units_for(protocol, n_folds, fold, n_inner))
        )

    def first_epochs(self, recipe: FineTune) -> int:
        """After how many epochs a fine-tuning is first looked at."""
        return math.ceil(recipe.optimisation.epochs / self._settings.halving)

    def drop_checkpoints(self, trials: Iterable[Trial]) -> None:
        """Remove what these would have gone on from."""
        for trial in trials:
            if isinstance(trial.recipe, FineTune):
                for unit in self.units(self.folds):
                    folder = checkpoint_folder(self._run, trial.recipe, sorted(unit))
                    shutil.rmtree(folder, ignore_errors=True)

    def _epochs(self, recipe: FineTune, *, whole: bool) -> int:
        """What a training goes through until it is looked at first, or from there to its end."""
        first = self.first_epochs(recipe)
        return max(1, recipe.optimisation.epochs - first) if whole else first

    def _epoch_seconds(self, step: Step) -> float:
        """Of one epoch. A base that was not trained yet is expected to take as much more as its forward pass does."""
        costs = self.budget.costs
        for known in (step, replace(step, rest=not step.rest)):
            if known in costs:
                return costs[known]
        others = {replace(step, base=known.base) for known in costs} - {step}
        return max(
            (self._epoch_seconds(other) * self._forward_ratio(step.base, other.base) for other in others),
            default=0.0,
        )

    def _forward_ratio(self, base: Base, other: Base) -> float:
        return _forward_seconds(base, self._options.device) / _forward_seconds(other, self._options.device)

    def _prepared(self, base: Base) -> ImageCache:
        key = base.preprocessing.model_dump_json()
        if key not in self._pixels:
            self._pixels[key] = prepare_images(self._run, self._listing, self._catalogue, base.preprocessing)
        return self._pixels[key]

    def _trial(self, recipe: FineTune | Probe, values: Mapping[str, Any]) -> Trial:
        if recipe not in self.trials:
            self.trials[recipe] = Trial(len(self.trials) + 1, recipe, values)
        return self.trials[recipe]


@cache
def _forward_seconds(base: Base, device: str) -> float:
    untrained = Probe(
        backbone=base.backbone, weights=WeightsChoice(source="none"), preprocessing=base.preprocessing
    )
    return seconds_an_image(untrained, device)


def _base(recipe: FineTune) -> Base:
    return Base(recipe.backbone, recipe.preprocessing)
