"""Fine-tune: train the members of a model. The part that runs where the GPU is."""

import logging
from typing import Literal

from prefect import flow

from flows.config import TrainingSettings
from tasks.catalogue import Catalogue
from tasks.data.training_view import plan_members
from tasks.fine_tune import TrainedMembers, TrainedNetwork, train_member, train_refit
from tasks.prepare import ImageCache
from tasks.run import Run
from tasks.training.recipes import Recipe

logger = logging.getLogger(__name__)

TRAINED_FILE = "members/trained.json"
"""Below the run's folder: the record of what was trained, for a parent that waits on another machine."""


@flow(name="fine-tune", flow_run_name="fine-tune-{run.name}", persist_result=False)
def fine_tune(
    run: Run,
    found: Catalogue,
    pixels: ImageCache,
    recipe: Recipe,
    training: TrainingSettings,
    served: Literal["average", "refit"],
) -> TrainedMembers:
    """Train one member for each plan of the protocol, and a refit on all images where that is served.

    Everything that it needs is named by reference and read from the workspace, where its record is written too:
    it runs on any machine that reaches the workspace.

    Args:
        run: The run that asks for it.
        found: The catalogue.
        pixels: The decoded images.
        recipe: What to train.
        training: Device, weights and seed.
        served: Whether a refit is needed.
    """
    options, fallback = training.options_here()
    if fallback:
        logger.warning(fallback)
    members = [
        _with_note(train_member(run, found, pixels, recipe, plan, options), fallback)
        for plan in plan_members(found.protocol, found.n_folds)
    ]
    refit = None
    if served == "refit":
        refit = _with_note(train_refit(run, found, pixels, recipe, options), fallback)
    trained = TrainedMembers(recipe=recipe, members=tuple(members), refit=refit)
    run.write(TRAINED_FILE, trained.model_dump_json().encode())
    return trained


def read_trained(run: Run) -> TrainedMembers:
    """What a fine-tuning that has ended wrote down."""
    return TrainedMembers.model_validate_json(run.open_workspace().read(f"{run.folder}/{TRAINED_FILE}"))


def _with_note(network: TrainedNetwork, note: str | None) -> TrainedNetwork:
    """The report shows a network's notes."""
    return network.model_copy(update={"notes": (*network.notes, note)}) if note else network
