"""Find a recipe: the search alone, with the honest figures of what it chose, and nothing published."""

from prefect import flow
from pydantic import Field

from flows.config import DataSet, EvaluationSettings, TrainingSettings, WorkspaceLocation
from flows.dispatch import sleep_after
from flows.train_and_evaluate import train_and_evaluate
from tasks.automl.chosen import SearchResult
from tasks.automl.settings import SearchSettings
from tasks.catalogue import build_catalogue
from tasks.compute.settings import ComputeSettings
from tasks.data.settings import CatalogueSettings, ImagesSource
from tasks.engine.run import open_run
from tasks.engine.stage import timed_stages
from tasks.errors import ConfigError
from tasks.evaluation.metrics import Evaluation
from tasks.ingest import ingest
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
    flow_run_name="find-recipe-{dataset.name}",
    persist_result=False,
    on_failure=[sleep_after],
    on_cancellation=[sleep_after],
    on_crashed=[sleep_after],
)
def find_recipe(
    images: ImagesSource,
    workspace: WorkspaceLocation,
    dataset: DataSet,
    checks: CatalogueSettings = CatalogueSettings(),  # noqa: B008 - frozen
    training: TrainingSettings = TrainingSettings(),  # noqa: B008 - frozen
    search: SearchSettings = SearchSettings(mode="on"),  # noqa: B008 - frozen
    evaluation: EvaluationSettings = EvaluationSettings(),  # noqa: B008 - frozen
    compute: ComputeSettings = ComputeSettings(),  # noqa: B008 - frozen
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
        compute: Where trainings run, and what is woken for it.
        force: Run every stage again, also where nothing changed.
    """
    run = open_run(workspace.url, workspace.block, dataset.name, force=force)
    with timed_stages() as timings:
        listing = ingest(run, images).listing
        catalogue = build_catalogue(run, listing, checks, dataset.positive_class)
        members, bundle, evaluated = train_and_evaluate(
            run, listing, catalogue, training, search, evaluation, compute
        )
    if members.search is None:
        raise ConfigError("the search left no leaderboard", cure="report this as a defect")
    return FoundRecipe(
        run=run.id,
        search=members.search,
        evaluation=evaluated.evaluation,
        bundle=run.open_workspace().uri(bundle.folder),
        seconds={row.stage: row.seconds for row in timings},
    )
