"""Fine-tune: train the members of a model. The part that runs where the GPU is."""

from typing import Literal

from prefect import flow

from flows.config import TrainingSettings
from tasks.catalogue import Catalogue
from tasks.data.training_view import plan_members
from tasks.fine_tune import TrainedMembers, train_member, train_refit
from tasks.prepare import ImageCache
from tasks.run import Run
from tasks.training.recipes import Recipe


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

    Args:
        run: The run that asks for it.
        found: The catalogue.
        pixels: The decoded images.
        recipe: What to train.
        training: Device, weights and seed.
        served: Whether a refit is needed.
    """
    options = training.options()
    members = [
        train_member(run, found, pixels, recipe, plan, options)
        for plan in plan_members(found.protocol, found.n_folds)
    ]
    refit = train_refit(run, found, pixels, recipe, options) if served == "refit" else None
    return TrainedMembers(recipe=recipe, members=tuple(members), refit=refit)
