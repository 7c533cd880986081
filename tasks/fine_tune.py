"""Fine-tune: train a member on what it may see, and keep its network for the export."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal, Self

from pydantic import Field, model_validator
from safetensors.torch import load, save

from tasks.automl.chosen import SearchResult
from tasks.catalogue import Catalogue, read_catalogue
from tasks.data.training_view import MemberPlan, TrainingView, training_view
from tasks.engine.run import Run
from tasks.engine.stage import progress, stage
from tasks.images.settings import Preprocessing
from tasks.prepare import ImageCache, open_images
from tasks.record import FileReference, Record
from tasks.stores.permissions import make_private
from tasks.training.activations import ActivationCache
from tasks.training.loop import EpochRow
from tasks.training.member import fit_member
from tasks.training.network import Network, fold_batch_norm
from tasks.training.recipes import Probe, Recipe, TrainingOptions, WeightsChoice
from tasks.training.weights import WeightsRecord, build


class TrainedNetwork(Record):
    """One trained network."""

    index: int | None = Field(description="Number of the member; None for the refit on all images.")
    recipe: Recipe = Field(description="How it was trained.")
    held_out: tuple[int, ...] = Field(description="Folds that it never saw, ascending.")
    network: FileReference = Field(description="Its weights, safetensors.")
    curves: FileReference = Field(description="Its training curves, JSON.")
    images: int = Field(description="Distinct images that it was trained on.")
    weights: WeightsRecord = Field(description="Where it began.")
    notes: tuple[str, ...] = Field(description="What happened on the way.")

    def in_words(self) -> str:
        """What was trained, and on how much."""
        return f"{self.recipe.backbone}, trained on {self.images} images"


class TrainedMembers(Record):
    """All networks of a model."""

    members: tuple[TrainedNetwork, ...] = Field(min_length=1, description="By index.")
    refit: TrainedNetwork | None = Field(
        description="One network trained on all images, where that is served."
    )
    search: SearchResult | None = Field(
        default=None, description="How the recipes were found, where they were."
    )

    @model_validator(mode="after")
    def _average_is_of_one_recipe(self) -> Self:
        if self.refit is None and len({member.recipe for member in self.members}) > 1:
            raise ValueError("members of different recipes have no average: a refit is needed")
        return self

    def in_words(self) -> str:
        """What was trained."""
        count = len(self.members)
        return f"{count} member{'' if count == 1 else 's'} trained; served is the {self.served}"

    @property
    def served(self) -> Literal["average", "refit"]:
        """What answers: the mean of the members' logits, or the refit; its figures are those of the members."""
        return "average" if self.refit is None else "refit"

    @property
    def served_recipe(self) -> Recipe:
        """The recipe of what answers."""
        return (self.refit or self.members[0]).recipe

    @property
    def preprocessings(self) -> tuple[Preprocessing, ...]:
        """How images are prepared for the networks, each way once, the served one's first."""
        recipes = (self.served_recipe, *(member.recipe for member in self.members))
        return tuple(dict.fromkeys(recipe.preprocessing for recipe in recipes))

    @property
    def networks(self) -> dict[str, TrainedNetwork]:
        """Every network by its name: member 0, member 1, ..., refit."""
        named = {f"member {network.index}": network for network in self.members}
        return named if self.refit is None else {**named, "refit": self.refit}

    def found_by(self, search: SearchResult | None) -> Self:
        """The same networks, with how their recipes were found."""
        return self.model_copy(update={"search": search})

    @property
    def all_notes(self) -> list[str]:
        """What happened on the way, each note once a network."""
        return [
            f"{name}: {note}"
            for name, network in self.networks.items()
            for note in dict.fromkeys(network.notes)
        ]


@stage("fine-tune member {plan.index}", version=1)
def train_member(
    run: Run,
    catalogue: Catalogue,
    pixels: ImageCache,
    recipe: Recipe,
    plan: MemberPlan,
    options: TrainingOptions,
) -> TrainedNetwork:
    """Train one member on the folds that it does not hold out."""
    view = training_view(read_catalogue(run, catalogue), plan.held_out)
    return _trained(run, view, pixels, recipe, options, plan.index)


@stage("fine-tune refit", version=1)
def train_refit(
    run: Run, catalogue: Catalogue, pixels: ImageCache, recipe: Recipe, options: TrainingOptions
) -> TrainedNetwork:
    """Train on all images what will be served; the members' figures are the ones that are reported."""
    return _trained(
        run, training_view(read_catalogue(run, catalogue), frozenset()), pixels, recipe, options, None
    )


def load_network(run: Run, trained: TrainedNetwork, n_classes: int) -> Network:
    """The trained network, on the CPU, in evaluation mode."""
    recipe = trained.recipe
    network, _ = build(
        recipe.backbone, n_classes, WeightsChoice(source="none"), size_px=recipe.preprocessing.size_px
    )
    if isinstance(recipe, Probe) or recipe.batch_norm == "frozen":
        network = fold_batch_norm(network)
    network.load_state_dict(load(run.read(trained.network)))
    return network.eval()


def read_curves(run: Run, trained: TrainedMembers) -> Mapping[str, Sequence[EpochRow]]:
    """Training curves by network, those without epochs left out."""
    curves = {
        name: [EpochRow(**row) for row in json.loads(run.read(network.curves))]
        for name, network in trained.networks.items()
    }
    return {name: rows for name, rows in curves.items() if rows}


def _trained(
    run: Run,
    view: TrainingView,
    pixels: ImageCache,
    recipe: Recipe,
    options: TrainingOptions,
    index: int | None,
) -> TrainedNetwork:
    name = "refit" if index is None else f"member-{index}"
    checkpoints = run.checkpoints / name
    make_private(checkpoints)
    member = fit_member(
        view,
        open_images(run, pixels),
        view.classes,
        recipe,
        options.seed,
        device=options.device,
        devices=options.devices,
        checkpoint_dir=checkpoints,
        progress=progress(),
        activations=_shared_activations(run.id),
    )
    tensors = {key: value.contiguous() for key, value in member.network.state_dict().items()}
    rows = json.dumps([vars(row) for row in member.curves], allow_nan=False)
    return TrainedNetwork(
        index=index,
        recipe=recipe,
        held_out=tuple(sorted(view.held_out)),
        network=run.write(f"members/{name}.safetensors", save(tensors)),
        curves=run.write(f"members/{name}.curves.json", rows.encode()),
        images=len(view),
        weights=member.weights,
        notes=tuple(member.notes),
    )


@lru_cache(maxsize=1)
def _shared_activations(run_id: str) -> ActivationCache:  # noqa: ARG001 - the run is the key
    """What the members of one run share: activations of frozen, pretrained stages; see the type."""
    return ActivationCache()
