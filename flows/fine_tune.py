"""Fine-tune: train the members of a model. The part that runs where the GPU is."""

import logging
from typing import Literal

from prefect import flow

from flows.config import TrainingSettings
from tasks.automl.chosen import ChosenRecipes
from tasks.catalogue import Catalogue
from tasks.engine.flow_run import ended, run_name
from tasks.engine.run import Run
from tasks.fine_tune import TrainedMembers, TrainedNetwork, train_member, train_refit
from tasks.prepare import ImageCache

logger = logging.getLogger(__name__)

NO_AVERAGE = "served instead of the members' average: their recipes differ"
"""What a refit's notes say where an average was asked for."""

TRAINED_FILE = "members/trained.json"
"""Below the run's folder: the record of what was trained, for a parent that waits on another machine."""


@flow(name="fine-tune", flow_run_name=run_name, persist_result=False)
def fine_tune(
    run: Run,
    catalogue: Catalogue,
    chosen: ChosenRecipes,
    pixels: tuple[ImageCache, ...],
    training: TrainingSettings,
    served: Literal["average", "refit"],
) -> TrainedMembers:
    """Train one member for each plan of the protocol, and a refit on all images where that is served.

    A refit is served too where the members' recipes differ: there is no average of them.

    Everything that it needs is named by reference and read from the workspace, where its record is written too:
    it runs on any machine that reaches the workspace.

    Args:
        run: The run that asks for it.
        catalogue: The catalogue.
        chosen: What to train.
        pixels: The decoded images, prepared in each way that a recipe wants.
        training: Device, weights and seed.
        served: What is to be served.
    """
    options, fallback = training.options_here()
    if fallback:
        logger.warning(fallback)
    prepared = {cache.preprocessing: cache for cache in pixels}
    members = []
    for plan, recipe in zip(catalogue.plans, chosen.members, strict=True):
        member = train_member(run, catalogue, prepared[recipe.preprocessing], recipe, plan, options)
        members.append(_with_note(member, fallback))
    refit, differ = None, len(set(chosen.members)) > 1
    if served == "refit" or differ:
        recipe = chosen.served
        refit = train_refit(run, catalogue, prepared[recipe.preprocessing], recipe, options)
        refit = _with_note(_with_note(refit, fallback), NO_AVERAGE if served == "average" else None)
    trained = TrainedMembers(members=tuple(members), refit=refit)
    run.write(TRAINED_FILE, trained.model_dump_json().encode())
    return ended(trained, trained.in_words())


def read_trained(run: Run) -> TrainedMembers:
    """What a fine-tuning that has ended wrote down."""
    return TrainedMembers.model_validate_json(run.open_workspace().read(f"{run.folder}/{TRAINED_FILE}"))


def _with_note(network: TrainedNetwork, note: str | None) -> TrainedNetwork:
    """The report shows a network's notes."""
    return network.model_copy(update={"notes": (*network.notes, note)}) if note else network
