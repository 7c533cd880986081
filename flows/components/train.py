"""What is trained: transformation, network, recipe, members, and the bundle of them."""

from flows.components.place import Place
from flows.components.settings import Network as NetworkChoice
from flows.components.settings import Search, Train
from flows.components.values import Folds, Members, Model, Network, Recipe, Transformation
from flows.config import TrainingSettings
from flows.dispatch import machines_of
from flows.fine_tune import fine_tune, read_trained
from flows.search import read_searched, search_recipes
from tasks.automl.chosen import ChosenRecipes
from tasks.automl.settings import SearchSettings
from tasks.export import export_bundle
from tasks.pipeline.component import part
from tasks.prepare import prepare_ways
from tasks.training.drawn import ImageTransformation, drawn_recipe
from tasks.training.recipes import within_symmetry


def image_transformation(place: Place, settings: ImageTransformation) -> Transformation:  # noqa: ARG001
    """Values, nothing fitted."""
    return Transformation(settings)


def network(place: Place, settings: NetworkChoice) -> Network:  # noqa: ARG001 - as all components
    """Values, nothing fitted."""
    return Network(settings)


def search(place: Place, settings: Search, *, folds: Folds) -> Recipe:
    """Find a recipe for each fold by networks that never saw it."""
    run, form = place.at(folds.images.run), part(settings, SearchSettings)
    with machines_of(settings.compute) as machines:
        searched = machines.run(
            search_recipes, read_searched, run, folds.images.listing, folds.record, settings.training, form
        )
    return Recipe(folds, searched)


def train(
    place: Place,
    settings: Train,
    *,
    folds: Folds,
    network: Network | None = None,
    transformation: Transformation | None = None,
    recipe: Recipe | None = None,
) -> Members:
    """Train the members of the protocol."""
    run, catalogue, searched = place.at(folds.images.run), folds.record, None
    training = training_of(settings, network)
    if recipe is None:
        views = transformation.record if transformation else None
        drawn = drawn_recipe(training.recipe(), views, settings)
        chosen = ChosenRecipes.same(within_symmetry(drawn, training.symmetry), len(catalogue.plans))
    else:
        chosen, searched = recipe.record.chosen, recipe.record
    pixels = prepare_ways(run, folds.images.listing, catalogue, chosen.preprocessings)
    with machines_of(settings.compute) as machines:
        members = machines.run(
            fine_tune, read_trained, run, catalogue, chosen, pixels, training, settings.served
        )
    return Members(folds, pixels, training.preset, members.found_by(searched))


def package(place: Place, settings: object, *, members: Members) -> Model:  # noqa: ARG001 - as all components
    """Make a bundle, and prove that it says what the networks say."""
    run, folds = place.at(members.folds.images.run), members.folds
    return Model(members, export_bundle(run, folds.record, members.pixels, members.record))


def training_of(settings: Train, network: Network | None) -> TrainingSettings:
    """The form of the main job, with the network that was drawn."""
    training = part(settings, TrainingSettings)
    if network is None:
        return training
    drawn = {"backbone": network.record.model_name, "weights": network.record.weights}
    return TrainingSettings.model_validate(training.model_dump() | drawn)
