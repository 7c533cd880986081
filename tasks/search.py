"""Search: find each fold's recipe from networks that never saw the fold, within a budget.

Three rungs. Probes of every backbone, size and preprocessing from kept features; the first epochs of fine-tunings on
the best of them, with proposed settings; the survivors to their end. Every fold has a search of its own (see
`tasks.automl.units`), so what its member is reported on has no say in the member's recipe.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.automl.chosen import ChosenRecipes, SearchResult
from tasks.automl.fold_search import Candidate, FoldSearch
from tasks.automl.leaderboard import estimated, paired_difference
from tasks.automl.settings import SearchSettings
from tasks.automl.space import Base, bases_of, probe_of
from tasks.automl.time import SearchTime
from tasks.automl.trainings import Proposals, Trainings
from tasks.automl.trials import leaderboard
from tasks.catalogue import Catalogue
from tasks.data.training_view import plan_members
from tasks.engine.display import displayed_by
from tasks.engine.run import Run
from tasks.engine.stage import progress, stage, timed_stages
from tasks.errors import TrainingError
from tasks.ingest import Listing
from tasks.training.recipes import FineTune, Probe, TrainingOptions
from tasks.work.progress import Progress, silent

PROBING_SHARE = 0.25
"""Of the budget, after which no further base is probed; each backbone is probed once whatever that takes."""

NOISE = 1.96
"""Standard errors of a difference that chance alone exceeds upwards once in forty times. The best of twenty recipes
that are all as good as the preset is expected at 1.9 (Harter 1961, doi:10.1093/biomet/48.1-2.151)."""


@stage("search", version=2)
def find_recipes(
    run: Run,
    listing: Listing,
    catalogue: Catalogue,
    root: FineTune,
    settings: SearchSettings,
    options: TrainingOptions,
    refit: bool,
) -> SearchResult:
    """Choose a recipe for every fold within the budget; see the module's docstring."""
    import optuna

    report = progress()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with timed_stages(), displayed_by(_silently):
        return Funnel(run, listing, catalogue, root, settings, options, refit=refit, report=report).result()


def _silently(stage: str) -> Progress:  # noqa: ARG001 - the signature is the seam's
    """The search itself tells how far it is, not each of its many trainings."""
    return silent


class Funnel:
    """One search, from the probes to the choices."""

    def __init__(
        self,
        run: Run,
        listing: Listing,
        catalogue: Catalogue,
        root: FineTune,
        settings: SearchSettings,
        options: TrainingOptions,
        *,
        refit: bool,
        report: Any,
    ) -> None:
        self._run, self._catalogue = run, catalogue
        self.root, self._settings, self._options = root, settings, options
        self._report = report
        self.trainings = Trainings(run, listing, catalogue, settings, options)
        self.bases = bases_of(settings.space, root)
        self.budget, self.trials = self.trainings.budget, self.trainings.trials
        n_members = len(plan_members(catalogue.protocol, catalogue.n_folds)) + refit
        self._time = SearchTime(
            self.trainings, settings, root, n_members=n_members, n_folds=catalogue.n_folds
        )
        folds = self.trainings.folds
        self._width = max(1, settings.max_concurrent_trials // max(1, len(folds) * settings.inner_folds))
        self._waiting: dict[int, Sequence[Candidate]] = dict.fromkeys(folds, ())
        earlier = _earlier_choices(run, catalogue)
        self.searches = {
            fold: FoldSearch(
                fold,
                settings.space,
                root,
                sampling=settings.sampling,
                seed=options.seed,
                n_bases=settings.bases,
                earlier=earlier.get(fold, ()),
            )
            for fold in folds
        }

    def result(self) -> SearchResult:
        """Probe, fine-tune, finish, choose."""
        if "fine_tune" in self._settings.space.kinds:
            self._time.check_budget(self.bases[0], self._options.device)
        self._probe()
        if "fine_tune" in self._settings.space.kinds:
            if self._explore(most_waves=1):  # the preset, so that it is known what it takes to its end
                self._finish()
            while self._explore():  # what the finish did not need lets more be tried
                self._finish()
        choices = self.choices()
        chosen_for: dict[FineTune | Probe, list[int]] = {}
        for fold, choice in choices.items():
            chosen_for.setdefault(self.tried(choice), []).append(fold)
        rows = leaderboard(
            self.trials.values(), chosen_for, self._settings.objective, self.trainings.positive
        )
        self.trainings.drop_checkpoints(self.trials.values())
        _remember(self._run, choices)
        told = json.dumps([row.model_dump(mode="json") for row in rows], indent=1, allow_nan=False)
        return SearchResult(
            chosen=self._chosen(choices),
            leaderboard=tuple(rows),
            objective=self._settings.objective,
            seconds=self.budget.used_seconds,
            file=self._run.write("search/leaderboard.json", told.encode()),
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
        objective = self._settings.objective
        difference, error = paired_difference(objective, of_best, of_preset, self.trainings.positive)
        return best if difference > NOISE * error else preset

    def _probe(self) -> None:
        """Rung 0."""
        seen: set[str] = set()
        for base in self.bases:
            if base.backbone in seen and self.budget.used_seconds > PROBING_SHARE * self.budget.seconds:
                break
            seen.add(base.backbone)
            trial = self.trainings.probe(base, self.root)
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
            for fold, candidates in wave.items():
                self._waiting[fold] = []
                for candidate in candidates:
                    trial = self.trials[candidate.recipe]
                    score = self.trainings.score(trial, fold, self.trainings.first_epochs(candidate.recipe))
                    self.searches[fold].trained(candidate.recipe, score, whole=False)
            self.after_step("first epochs")
            waves += 1
        return waves > 0

    def _next_wave(self) -> Proposals:
        """Proposals for as many folds as there is room for; those of the others wait."""
        begun = {recipe for recipe in self.trials if isinstance(recipe, FineTune)}
        most = math.inf if self._settings.max_trials is None else self._settings.max_trials
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
        ranked = {fold: search.survivors(self._settings.survivors) for fold, search in self.searches.items()}
        keep = {one.recipe for some in ranked.values() for one in some}
        self.trainings.drop_checkpoints(trial for recipe, trial in self.trials.items() if recipe not in keep)
        for rank in range(max(map(len, ranked.values()), default=0)):
            wanted = {fold: [ranks[rank]] for fold, ranks in ranked.items() if len(ranks) > rank}
            some = self._time.finished(wanted, self._members_seconds())
            if not some:
                return
            self.trainings.train(some, whole=True)
            for fold, [candidate] in some.items():
                trial = self.trials[candidate.recipe]
                epochs = candidate.recipe.optimisation.epochs
                self.searches[fold].trained(
                    candidate.recipe, self.trainings.score(trial, fold, epochs), whole=True
                )
            self.after_step("survivors")

    def _members_seconds(self) -> float:
        """What the preset's repeated trainings of all members are expected to take; 0 before there is a choice."""
        try:
            chosen = [self.tried(choice) for choice in self.choices().values()]
        except TrainingError:
            return 0.0
        return self._time.members_seconds(chosen, self.root.optimisation.runs)

    def _chosen(self, choices: Mapping[int, Candidate | Base]) -> ChosenRecipes:
        """A recipe a member, and of these the one that most folds chose; equal ones by their figure over all folds."""
        runs = self._time.affordable_runs([self.tried(choice) for choice in choices.values()])
        recipes = {fold: self._recipe(choice, runs) for fold, choice in choices.items()}
        plans = plan_members(self._catalogue.protocol, self._catalogue.n_folds)
        members = tuple(
            recipes[min(plan.held_out)] if len(recipes) > 1 else recipes[self.trainings.folds[0]]
            for plan in plans
        )

        def worth(recipe: FineTune | Probe) -> tuple[int, float]:
            tried = next(fold for fold, other in recipes.items() if other == recipe)
            trial = self.trials[self.tried(choices[tried])]
            score = estimated(
                self._settings.objective, trial.all_answers, self.trainings.positive, resamples=1
            )[0]
            return sum(other == recipe for other in recipes.values()), score

        return ChosenRecipes(members=members, served=max(dict.fromkeys(recipes.values()), key=worth))

    def tried(self, choice: Candidate | Base) -> FineTune | Probe:
        """The recipe of which a choice's networks were trained."""
        return probe_of(choice, self.root) if isinstance(choice, Base) else choice.recipe

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


def _earlier_choices(run: Run, catalogue: Catalogue) -> dict[int, list[Mapping[str, Any]]]:
    """What the last search of this data set chose for each fold, by networks that never saw the fold."""
    workspace = run.open_workspace()
    files = sorted(workspace.list(f"searches/{run.name}"))
    if not files:
        return {}
    kept = json.loads(workspace.read(files[-1]))
    return {int(fold): [values] for fold, values in kept.items() if int(fold) < catalogue.n_folds}


def _remember(run: Run, choices: Mapping[int, Candidate | Base]) -> None:
    """Keep each fold's choice for the next search to begin with."""
    tuned = {fold: dict(choice.values) for fold, choice in choices.items() if isinstance(choice, Candidate)}
    if tuned:
        path = f"searches/{run.name}/{run.id}.json"
        run.open_workspace().write(path, json.dumps(tuned, indent=1).encode())
