"""Search: find each fold's recipe from networks that never saw the fold, within a budget.

The search itself is `tasks.automl.funnel`. Here is what it is about, how it has trained, and what is kept of it.
"""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from tasks.automl.bases import bases_of
from tasks.automl.chosen import SearchResult
from tasks.automl.funnel import Funnel
from tasks.automl.scope import SearchScope
from tasks.automl.settings import SearchSettings
from tasks.automl.space import Base
from tasks.automl.trainer import Trained
from tasks.automl.units import Unit, asked_folds
from tasks.catalogue import Catalogue, read_catalogue
from tasks.engine.display import displayed_by
from tasks.engine.many import run_many
from tasks.engine.run import Run
from tasks.engine.stage import progress, stage, timed_stages
from tasks.errors import TrainingError
from tasks.images.settings import Preprocessing
from tasks.ingest import Listing
from tasks.prepare import ImageCache, prepare_images
from tasks.search_trainings import (
    checkpoint_folder,
    probe_base,
    probed_sample,
    read_answers,
    train_unit,
)
from tasks.stores.layout import SEARCH_CHOICES
from tasks.training.probe_features import seconds_an_image
from tasks.training.recipes import FineTune, Probe, TrainingOptions, WeightsChoice
from tasks.training.transforms import NO_TRANSFORMS
from tasks.work.progress import Progress, silent


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
    """Choose a recipe for every fold within the budget; see `tasks.automl.funnel`."""
    import optuna

    report = progress()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    trainer = StageTrainer(run, listing, catalogue, options, settings.max_concurrent_trials)
    scope = scope_of(run, catalogue, root, settings, options, refit=refit)
    with timed_stages(), displayed_by(_silently):
        result = Funnel(scope, trainer, report=report).result()
    remember(run, result.tuned)
    rows = [row.model_dump(mode="json") for row in result.leaderboard]
    told = json.dumps(rows, indent=1, allow_nan=False)
    return SearchResult(
        chosen=result.chosen,
        leaderboard=result.leaderboard,
        objective=settings.objective,
        seconds=result.seconds,
        file=run.write("search/leaderboard.json", told.encode()),
    )


def scope_of(
    run: Run,
    catalogue: Catalogue,
    root: FineTune,
    settings: SearchSettings,
    options: TrainingOptions,
    *,
    refit: bool,
) -> SearchScope:
    """What a search of this catalogue is about.

    Raises:
        ConfigError: as `bases_of`.
    """
    return SearchScope(
        protocol=catalogue.protocol,
        n_folds=catalogue.n_folds,
        positive=catalogue.positive_index,
        contents=len(read_catalogue(run, catalogue).contents),
        root=root,
        bases=bases_of(settings.space, root),
        settings=settings,
        seed=options.seed,
        refit=refit,
        earlier=_earlier_choices(run, catalogue),
    )


class StageTrainer:
    """Trains by the stages of `search_trainings`, each kept in the workspace; where the flow run's task runner says."""

    def __init__(
        self, run: Run, listing: Listing, catalogue: Catalogue, options: TrainingOptions, at_once: int
    ) -> None:
        self._run, self._listing, self._catalogue = run, listing, catalogue
        self._options, self._at_once = options, at_once
        self._table = read_catalogue(run, catalogue)
        self._sample = frozenset(probed_sample(self._table))
        self._pixels: dict[Preprocessing, ImageCache] = {}

    def probe(self, recipe: Probe, units: Sequence[Unit]) -> Trained | TrainingError:
        """Linear heads on one base, one for each unit."""
        held_out = tuple(tuple(sorted(unit)) for unit in units)
        asked = tuple(self._asked(unit) for unit in units)
        call = (self._catalogue, self._prepared(recipe), recipe, held_out, asked, self._options)
        [outcome] = run_many(probe_base, self._run, [call], 1)
        if isinstance(outcome, TrainingError):
            return outcome
        probed = outcome.record
        answers = {
            unit: read_answers(self._run, self._table, said, self._sample)
            for unit, said in zip(units, probed.units, strict=True)
        }
        seconds = probed.seconds if outcome.reused else outcome.seconds
        return Trained(answers, seconds, probed.seconds, reused=outcome.reused)

    def train(self, wanted: Sequence[tuple[FineTune, Unit, int]]) -> list[Trained | TrainingError]:
        """Fine-tunings to an epoch, side by side, from where an earlier one of the same unit stopped."""
        calls = [
            (
                *(self._catalogue, self._prepared(recipe), recipe),
                *(tuple(sorted(unit)), self._asked(unit), epochs, self._options),
            )
            for recipe, unit, epochs in wanted
        ]
        trained: list[Trained | TrainingError] = []
        outcomes = run_many(train_unit, self._run, calls, self._at_once)
        for (_, unit, _), outcome in zip(wanted, outcomes, strict=True):
            if isinstance(outcome, TrainingError):
                trained.append(outcome)
                continue
            said = outcome.record
            trained.append(
                Trained(
                    {unit: read_answers(self._run, self._table, said)},
                    said.seconds if outcome.reused else outcome.seconds,
                    said.seconds,
                    reused=outcome.reused,
                    losses={row.epoch: row.train_loss for row in said.curve},
                )
            )
        return trained

    def forget(self, recipe: FineTune, units: Iterable[Unit]) -> None:
        """Remove the checkpoints of trainings that will not go on."""
        for unit in units:
            shutil.rmtree(checkpoint_folder(self._run, recipe, sorted(unit)), ignore_errors=True)

    def seconds_an_image(self, base: Base) -> float:
        """What a forward pass takes for an image on this machine."""
        return _seconds_an_image(base, self._options.device)

    def _asked(self, unit: Unit) -> tuple[int, ...]:
        return asked_folds(self._catalogue.protocol, unit)

    def _prepared(self, recipe: FineTune | Probe) -> ImageCache:
        way = recipe.preprocessing
        if way not in self._pixels:
            self._pixels[way] = prepare_images(self._run, self._listing, self._catalogue, way)
        return self._pixels[way]


@cache
def _seconds_an_image(base: Base, device: str) -> float:
    untrained = WeightsChoice(source="none")
    recipe = Probe(
        backbone=base.backbone,
        weights=untrained,
        preprocessing=base.preprocessing,
        transforms=NO_TRANSFORMS,
        views=1,
    )
    return seconds_an_image(recipe, device)


def _silently(stage: str) -> Progress:  # noqa: ARG001 - the signature is the seam's
    """The search itself tells how far it is, not each of its many trainings."""
    return silent


def _earlier_choices(run: Run, catalogue: Catalogue) -> dict[int, list[Mapping[str, Any]]]:
    """What the last search of this data set chose for each fold, by networks that never saw the fold."""
    workspace = run.open_workspace()
    files = sorted(workspace.list(SEARCH_CHOICES.folder(name=run.name)))
    if not files:
        return {}
    kept = json.loads(workspace.read(files[-1]))
    return {int(fold): [values] for fold, values in kept.items() if int(fold) < catalogue.n_folds}


def remember(run: Run, tuned: Mapping[int, Mapping[str, Any]]) -> None:
    """Keep the values of each fold's choice for the next search to begin with."""
    if tuned:
        path = SEARCH_CHOICES.path(name=run.name, search=run.full_id)
        run.open_workspace().write(path, json.dumps(dict(tuned), indent=1).encode())
