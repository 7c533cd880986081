"""Search units: the trainings of a search, each kept in the workspace so that none is ever done twice."""

import io
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import from_numpy, nn

from tasks.automl.units import Answers
from tasks.catalogue import Catalogue, read_catalogue
from tasks.data.catalogue_table import CatalogueTable
from tasks.data.training_view import HeldOutView, TrainingView, held_out_view, training_view
from tasks.engine.run import Run
from tasks.engine.stage import progress, stage
from tasks.prepare import ImageCache, open_images
from tasks.record import FileReference, Record, digest_of
from tasks.training.activations import ActivationCache
from tasks.training.answers import member_logits
from tasks.training.loop import EpochRow
from tasks.training.member import fit_member
from tasks.training.probe import fit_head
from tasks.training.probe_features import probe_features
from tasks.training.recipes import FineTune, Probe, TrainingOptions
from tasks.work.npz import arrays_of

SCORED_VIEWS = 2
"""Test views behind a score of a search: more would cost as much as the training."""

PROBED_PER_CLASS = 4000
"""Images of a class that a probe is made and scored with; a linear head learns little from more."""


class UnitAnswers(Record):
    """What a network that never saw two folds says of them."""

    held_out: tuple[int, ...] = Field(description="The folds that it never saw, ascending.")
    asked: tuple[int, ...] = Field(description="Those of them that it was asked about.")
    logits: FileReference = Field(description="Logits by fold, npz, in the order of `held_out_view`.")
    epochs: int = Field(ge=0, description="Epochs that it was trained.")
    seconds: float = Field(ge=0, description="What that took.")
    curve: tuple[EpochRow, ...] = Field(description="Its training curve.")


class ProbedBase(Record):
    """What linear heads on one backbone and preprocessing say of what they never saw."""

    units: tuple[UnitAnswers, ...] = Field(description="One for each pair of folds.")
    seconds: float = Field(ge=0, description="What all of them took, features included.")


@stage("search-probe {recipe.backbone} {recipe.preprocessing.size_px} px", version=1)
def probe_base(
    run: Run,
    catalogue: Catalogue,
    pixels: ImageCache,
    recipe: Probe,
    units: tuple[tuple[int, ...], ...],
    asked: tuple[tuple[int, ...], ...],
    options: TrainingOptions,
) -> ProbedBase:
    """Fit a linear head for each unit on features that are computed once."""
    started = time.perf_counter()
    table = read_catalogue(run, catalogue)
    sample = probed_sample(table)
    features = probe_features(
        run.open_workspace(),
        sample,
        open_images(run, pixels),
        recipe,
        device=options.device,
        progress=progress(),
    )
    rows = {sha256: row for row, sha256 in enumerate(sample)}
    answers = []
    for held_out, folds in zip(units, asked, strict=True):
        began = time.perf_counter()
        view = _sampled(training_view(table, frozenset(held_out)), rows)
        head = nn.Linear(features.shape[1], len(view.classes))
        learnt = from_numpy(features[[rows[name] for name in view.sha256]].astype(np.float32))
        fit_head(
            head, learnt[None], view.labels, view.groups, inner_folds=recipe.inner_folds, seed=options.seed
        )
        logits = {}
        for fold in folds:
            names = [name for name in held_out_view(table, fold).sha256 if name in rows]
            values = from_numpy(features[[rows[name] for name in names]].astype(np.float32))
            logits[fold] = head(values).detach().double().numpy()
        seconds = time.perf_counter() - began
        answers.append(_kept(run, _unit_name(recipe, held_out, 0), held_out, logits, 0, seconds, ()))
    return ProbedBase(units=tuple(answers), seconds=time.perf_counter() - started)


@stage("search-unit {recipe.backbone} to epoch {epochs} without folds {held_out}", version=1)
def train_unit(
    run: Run,
    catalogue: Catalogue,
    pixels: ImageCache,
    recipe: FineTune,
    held_out: tuple[int, ...],
    asked: tuple[int, ...],
    epochs: int,
    options: TrainingOptions,
) -> UnitAnswers:
    """Train a network on all but two folds to an epoch, from its checkpoint if there is one, and ask it about them."""
    table = read_catalogue(run, catalogue)
    view = training_view(table, frozenset(held_out))
    images = open_images(run, pixels)
    place = checkpoint_folder(run, recipe, held_out)
    trained = fit_member(
        view,
        images,
        view.classes,
        recipe,
        options.seed,
        device=options.device,
        devices=options.devices,
        checkpoint_dir=place,
        progress=progress(),
        activations=_shared_activations(run.id, digest_of(_frozen_part(recipe))),
        stop_after_epochs=epochs,
    )
    views = recipe.test_views[:SCORED_VIEWS]
    logits = {}
    for fold in asked:
        unseen = held_out_view(table, fold)
        view.check_unseen(unseen)
        logits[fold] = member_logits(trained.network, images, unseen.sha256, views, device=options.device)
    return _kept(
        run,
        _unit_name(recipe, held_out, epochs),
        held_out,
        logits,
        epochs,
        trained.seconds,
        tuple(trained.curves),
    )


def checkpoint_folder(run: Run, recipe: FineTune, held_out: Sequence[int]) -> Path:
    """Where a unit's training waits for its last epochs, on the machine that trained it."""
    return run.checkpoints / "search" / _unit_name(recipe, held_out, 0)


def read_answers(
    run: Run, table: CatalogueTable, record: UnitAnswers, sample: frozenset[str] | None = None
) -> Mapping[int, Answers]:
    """A unit's answers by fold; `sample` are the contents that it was asked about, where not all."""
    arrays = arrays_of(
        run.read(record.logits),
        tuple(map(str, record.asked)),
        record.logits.path,
        "remove the file and run again: its training is repeated",
    )
    answers = {}
    for fold in record.asked:
        view = held_out_view(table, fold)
        chosen = np.array([sample is None or sha256 in sample for sha256 in view.sha256], dtype=np.bool_)
        answers[fold] = _answers(view, chosen, arrays[str(fold)].astype(np.float64))
    return answers


def probed_sample(table: CatalogueTable) -> tuple[str, ...]:
    """The contents that probes are made with: all, or of each class those of the first digests."""
    contents = table.contents.sort_values("sha256")
    return tuple(contents.groupby("label", sort=True).head(PROBED_PER_CLASS)["sha256"])


def _answers(view: HeldOutView, chosen: NDArray[np.bool_], logits: NDArray[np.float64]) -> Answers:
    places = np.flatnonzero(chosen)
    return Answers(
        tuple(view.sha256[place] for place in places),
        view.labels[places],
        tuple(view.groups[place] for place in places),
        logits,
    )


def _sampled(view: TrainingView, rows: Mapping[str, int]) -> TrainingView:
    places = [place for place, sha256 in enumerate(view.sha256) if sha256 in rows]
    return view if len(places) == len(view) else view.select(places)


def _kept(
    run: Run,
    name: str,
    held_out: Sequence[int],
    logits: Mapping[int, NDArray[np.float64]],
    epochs: int,
    seconds: float,
    curve: tuple[EpochRow, ...],
) -> UnitAnswers:
    data = io.BytesIO()
    np.savez(data, **{str(fold): values for fold, values in logits.items()})  # type: ignore[arg-type]
    return UnitAnswers(
        held_out=tuple(sorted(held_out)),
        asked=tuple(logits),
        logits=run.write(f"search/{name}.npz", data.getvalue()),
        epochs=epochs,
        seconds=seconds,
        curve=curve,
    )


def _unit_name(recipe: Probe | FineTune, held_out: Sequence[int], epochs: int) -> str:
    folds = "-".join(map(str, sorted(held_out)))
    return f"{digest_of(recipe.model_dump(mode='json'))[:16]}-{folds}-{epochs}"


def _frozen_part(recipe: FineTune) -> dict[str, object]:
    """What the activations of the frozen stages depend on."""
    told = recipe.model_dump(mode="json", include={"backbone", "weights", "preprocessing", "transforms"})
    return {**told, "frozen_stages": recipe.frozen_stages}


@lru_cache(maxsize=2)
def _shared_activations(run_id: str, frozen: str) -> ActivationCache:  # noqa: ARG001 - both are the key
    """What the trainings of one search share: activations of frozen, pretrained stages; see the type."""
    return ActivationCache()
