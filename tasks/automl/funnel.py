"""The funnel: find each fold's recipe from networks that never saw the fold, within a budget.

Three rungs. Probes of every backbone, size and preprocessing from kept features; the first epochs of fine-tunings on
the best of them, with proposed settings; the survivors to their end. Every fold has a search of its own (see
`tasks.automl.units`), so what its member is reported on has no say in the member's recipe.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.automl.chosen import ChosenRecipes
from tasks.automl.fold_search import Candidate, FoldSearch, Proposals
from tasks.automl.scope import SearchScope
from tasks.automl.space import Base, probe_of
from tasks.automl.time import Budget, SearchTime
from tasks.automl.trainer import Trainer
from tasks.automl.trainings import Trainings
from tasks.automl.trials import estimated, leaderboard, paired_difference
from tasks.automl.tried import Tried
from tasks.errors import TrainingError
from tasks.training.recipes import FineTune, Probe
from tasks.work.progress import Progress, silent

PROBING_SHARE = 0.25
"""Of the budget, after which no further base is probed; each backbone is probed once whatever that takes."""

NOISE = 1.96
"""Standard errors of a difference that chance alone exceeds upwards once in forty times. The best of twenty recipes
that are all as good as the preset is expected at 1.9 (Harter 1961, doi:10.1093/biomet/48.1-2.151)."""


@dataclass(frozen=True)
class FunnelResult:
    """What a search came to: a recipe a member, every recipe that was tried, best first, and the seconds.

    `tuned` holds the values of each fold's choice, where that is a fine-tuning.
    """

    chosen: ChosenRecipes
    leaderboard: tuple[Tried, ...]
    seconds: float
    tuned: Mapping[int, Mapping[str, Any]]


class Funnel:
    """One search, from the probes to the choices."""

    def __init__(
        self,
        scope: SearchScope,
        trainer: Trainer,
        *,
        report: Progress = silent,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.scope, self._report = scope, report
        settings = scope.settings
        self.budget = Budget(settings.minutes, clock)
        self.trainings = Trainings(scope, trainer, self.budget)
        self.trials = self.trainings.trials
        self._time = SearchTime(scope, self.budget, self.trainings.needed, trainer.seconds_an_image)
        folds = scope.folds
        self._width = max(1, settings.max_concurrent_trials // max(1, len(folds) * settings.inner_folds))
        self._waiting: dict[int, Sequence[Candidate]] = dict.fromkeys(folds, ())
        self.searches = {
            fold: FoldSearch(
                fold,
                settings.space,
                scope.root,
                sampling=settings.sampling,
                seed=scope.seed,
                n_bases=settings.bases,
                earlier=scope.earlier.get(fold, ()),
            )
            for fold in folds
        }

    def result(self) -> FunnelResult:
        """Probe, fine-tune, finish, choose."""
        tunes = "fine_tune" in self.scope.settings.space.kinds
        if tunes:
            self._time.check_budget()
        self._probe()
        if tunes:
            if self._explore(most_waves=1):  # the preset, so that it is known what it takes to its end
                self._finish()
            while self._explore():  # what the finish did not need lets more be tried
                self._finish()
        choices = self.choices()
        self.trainings.forget(self.trials.values())
        return FunnelResult(
            chosen=self._chosen(choices),
            leaderboard=tuple(self._leaderboard(choices)),
            seconds=self.budget.used_seconds,
            tuned={
                fold: dict(choice.values) for fold, choice in choices.items() if isinstance(choice, Candidate)
            },
        )

    def choices(self) -> dict[int, Candidate | Base]:
        """What each fold's search would choose now: the best, but the preset where the best is within noise of it.

        The best of many always seems better than it is. So a fold leaves the preset only for what is above it by more
        than `NOISE` standard errors on the same contents.

        Raises:
            TrainingError: nothing could be trained for a fold.
        """
        return {fold: self._careful(fold, search) for fold, search in self.searches.items()}

    def _careful(self, fold: int, search: FoldSearch) -> Candidate | Base:
        best, preset = search.choice(), search.preset
        if preset is None or best == preset:
            return best
        of_best, of_preset = (self.trainings.counted(self.tried(one), fold) for one in (best, preset))
        if {part.sha256 for part in of_best} != {part.sha256 for part in of_preset}:
            return best
        objective, positive = self.scope.settings.objective, self.scope.positive
        difference, error = paired_difference(objective, of_best, of_preset, positive)
        return best if difference > NOISE * error else preset

    def _probe(self) -> None:
        """Rung 0."""
        seen: set[str] = set()
        for base in self.scope.bases:
            if base.backbone in seen and self.budget.used_seconds > PROBING_SHARE * self.budget.seconds:
                break
            seen.add(base.backbone)
            trial = self.trainings.probe(base)
            for fold, search in self.searches.items():
                search.probed(base, self.trainings.score(trial, fold, 0))
            self.after_step("probes")
        for search in self.searches.values():
            search.close_probing()

    def _explore(self, most_waves: float = math.inf) -> bool:
        """Rung 1: waves of one proposal a fold, or more where many trainings run at once; whether there was room."""
        waves = 0
        while waves < most_waves and (wave := self._next_wave()):
            self.trainings.train(wave, whole=False)
            for fold in wave:
                self._waiting[fold] = []
            self._tell(wave, whole=False)
            self.after_step("first epochs")
            waves += 1
        return waves > 0

    def _next_wave(self) -> Proposals:
        """Proposals for as many folds as there is room for; those of the others wait."""
        begun = {recipe for recipe in self.trials if isinstance(recipe, FineTune)}
        max_trials = self.scope.settings.max_trials
        most = math.inf if max_trials is None else max_trials
        for fold, search in self.searches.items():
            if not self._waiting[fold]:
                self._waiting[fold] = search.propose(int(min(self._width, most - len(begun))))
        wanted: dict[int, Sequence[Candidate]] = {}
        for fold in sorted(self.searches, key=lambda fold: self.searches[fold].tried):
            recipes = begun | {one.recipe for one in self._waiting[fold]}
            if len(recipes) <= most:
                begun, wanted[fold] = recipes, self._waiting[fold]
        best = {fold: search.survivors(1) for fold, search in self.searches.items()}
        return self._time.begun(wanted, self._members_seconds(), self._time.seconds(best, whole=True))

    def _finish(self) -> None:
        """Rung 2: each fold's best to their end, rank by rank, as long as there is room."""
        n = self.scope.settings.survivors
        ranked = {fold: search.survivors(n) for fold, search in self.searches.items()}
        keep = {one.recipe for some in ranked.values() for one in some}
        self.trainings.forget(trial for recipe, trial in self.trials.items() if recipe not in keep)
        for rank in range(max(map(len, ranked.values()), default=0)):
            wanted = {fold: [ranks[rank]] for fold, ranks in ranked.items() if len(ranks) > rank}
            some = self._time.finished(wanted, self._members_seconds())
            if not some:
                return
            self.trainings.train(some, whole=True)
            self._tell(some, whole=True)
            self.after_step("survivors")

    def _tell(self, proposals: Proposals, *, whole: bool) -> None:
        """Tell each fold's search what came of its proposals."""
        for fold, candidates in proposals.items():
            for candidate in candidates:
                recipe = candidate.recipe
                epochs = self.scope.looked_at(recipe, whole=whole)
                score = self.trainings.score(self.trials[recipe], fold, epochs)
                self.searches[fold].trained(recipe, score, whole=whole)

    def _members_seconds(self) -> float:
        """What the preset's repeated trainings of all members are expected to take; 0 before there is a choice."""
        try:
            chosen = [self.tried(choice) for choice in self.choices().values()]
        except TrainingError:
            return 0.0
        return self._time.members_seconds(chosen, self.scope.root.optimisation.runs)

    def _chosen(self, choices: Mapping[int, Candidate | Base]) -> ChosenRecipes:
        """A recipe a member, and of these the one that most folds chose; equal ones by their figure over all folds."""
        runs = self._time.affordable_runs([self.tried(choice) for choice in choices.values()])
        recipes = {fold: self._recipe(choice, runs) for fold, choice in choices.items()}
        members = tuple(
            recipes[min(plan.held_out)] if len(recipes) > 1 else recipes[self.scope.folds[0]]
            for plan in self.scope.plans
        )

        def worth(recipe: FineTune | Probe) -> tuple[int, float]:
            tried = next(fold for fold, other in recipes.items() if other == recipe)
            answers = self.trials[self.tried(choices[tried])].all_answers
            objective, positive = self.scope.settings.objective, self.scope.positive
            score = estimated(objective, answers, positive, resamples=1)[0]
            return sum(other == recipe for other in recipes.values()), score

        return ChosenRecipes(members=members, served=max(dict.fromkeys(recipes.values()), key=worth))

    def _leaderboard(self, choices: Mapping[int, Candidate | Base]) -> list[Tried]:
        chosen_for: dict[FineTune | Probe, list[int]] = {}
        for fold, choice in choices.items():
            chosen_for.setdefault(self.tried(choice), []).append(fold)
        return leaderboard(
            self.trials.values(), chosen_for, self.scope.settings.objective, self.scope.positive
        )

    def tried(self, choice: Candidate | Base) -> FineTune | Probe:
        """The recipe of which a choice's networks were trained."""
        return probe_of(choice, self.scope.root) if isinstance(choice, Base) else choice.recipe

    def _recipe(self, choice: Candidate | Base, runs: int) -> FineTune | Probe:
        """What a member is trained by: with the preset's repeated trainings, as far as there is time."""
        recipe = self.tried(choice)
        if isinstance(recipe, Probe):
            return recipe
        return recipe.model_copy(
            update={"optimisation": recipe.optimisation.model_copy(update={"runs": runs})}
        )

    def after_step(self, what: str) -> None:
        """Tell how far the search is."""
        done, total = int(self.budget.used_seconds), int(self.budget.seconds)
        self._report(min(done, total), total, f"seconds; {what}, {len(self.trials)} recipes tried")
