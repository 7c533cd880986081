"""Find a recipe: the search alone, with the honest figures of what it chose, and nothing published."""

from prefect import flow
from pydantic import Field

from flows.config import DataSet, EvaluationSettings, TrainingSettings, WorkspaceLocation
from flows.dispatch import call
from flows.fine_tune import fine_tune
from flows.search import search_recipes
from tasks.automl.chosen import SearchResult
from tasks.automl.settings import SearchSettings
from tasks.catalogue import build_catalogue
from tasks.data.settings import CatalogueSettings, ImagesSource
from tasks.engine.flow_run import ended, run_name
from tasks.engine.run import open_run
from tasks.engine.stage import timed_stages
from tasks.evaluate import evaluate_bundle
from tasks.evaluation.metrics import Evaluation
from tasks.export import export_bundle
from tasks.ingest import ingest
from tasks.predict import predict_unseen
from tasks.prepare import prepare_ways
from tasks.record import Frozen


class FoundRecipe(Frozen):
    """What a search came to."""

    run: str = Field(description="Name of the run.")
    search: SearchResult = Field(description="What was tried, and what was chosen.")
    evaluation: Evaluation = Field(description="Honest figures of what was chosen.")
    bundle: str = Field(description="Where the trained model is; it is not published.")
    seconds: dict[str, float] = Field(description="Wall-clock seconds by stage.")


@flow(
    name="find-recipe",
    flow_run_name=run_name,
    persist_result=False,
)
def find_recipe(
    images: ImagesSource,
    workspace: WorkspaceLocation,
    dataset: DataSet,
    checks: CatalogueSettings = CatalogueSettings(),  # noqa: B008 - frozen
    training: TrainingSettings = TrainingSettings(),  # noqa: B008 - frozen
    search: SearchSettings = SearchSettings(mode="on"),  # noqa: B008 - frozen
    evaluation: EvaluationSettings = EvaluationSettings(),  # noqa: B008 - frozen
    force: bool = False,
) -> FoundRecipe:
    """Find the best recipe within a budget, train it and say how good it honestly is.

    Args:
        images: The images.
        workspace: Where everything is kept.
        dataset: What the images are about.
        checks: Checks, copies and folds.
        training: The preset that the search begins with, and the device.
        search: What is tried, and for how long.
        evaluation: Threshold, and what would be served.
        force: Run every stage again, also where nothing changed.
    """
    run = open_run(workspace.url, workspace.block, dataset.name, force=force)
    with timed_stages() as timings:
        listing = ingest(run, images).listing
        catalogue = build_catalogue(run, listing, checks, dataset.positive_class)
        searched = call(search_recipes, run, listing, catalogue, training, search)
        recipes = searched.chosen
        pixels = prepare_ways(run, listing, catalogue, recipes.preprocessings)
        members = call(fine_tune, run, catalogue, recipes, pixels, training, evaluation.served)
        bundle = export_bundle(run, catalogue, pixels, members.found_by(searched))
        predictions = predict_unseen(run, listing, catalogue, bundle.manifest)
        evaluated = evaluate_bundle(run, listing, catalogue, predictions, evaluation.rule)
    result = FoundRecipe(
        run=run.id,
        search=searched,
        evaluation=evaluated.evaluation,
        bundle=run.open_workspace().uri(bundle.folder),
        seconds={row.stage: row.seconds for row in timings},
    )
    return ended(result, f"{searched.in_words()}. {evaluated.in_words()}")
