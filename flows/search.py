"""Search: find the recipes that a model is trained by. The part that tries them, where the GPU is."""

import logging
from collections.abc import Callable

from prefect import Flow, flow
from prefect.artifacts import create_table_artifact

from flows.config import TrainingSettings
from tasks.automl.chosen import SearchResult
from tasks.automl.settings import SearchSettings
from tasks.catalogue import Catalogue
from tasks.engine.flow_run import ended, run_name
from tasks.engine.run import Run
from tasks.engine.stage import inside_flow_run
from tasks.errors import ConfigError
from tasks.ingest import Listing
from tasks.pages.leaderboard import leaderboard_rows
from tasks.search import find_recipes
from tasks.training.recipes import FineTune

logger = logging.getLogger(__name__)

SEARCHED_FILE = "search/result.json"
"""Below the run's folder: the record of what was found, for a parent that waits on another machine."""


@flow(name="search", flow_run_name=run_name, persist_result=False)
def search_recipes(
    run: Run, listing: Listing, catalogue: Catalogue, training: TrainingSettings, settings: SearchSettings
) -> SearchResult:
    """Find each fold's recipe from networks that never saw the fold, and one to serve.

    Everything that it needs is named by reference and read from the workspace, where its record is written too:
    it runs on any machine that reaches the workspace.

    Args:
        run: The run that asks for it.
        listing: The images.
        catalogue: The catalogue.
        training: The preset that the search begins with, device and seed.
        settings: Budget, space and where trainings run.
    """
    root = training.recipe()
    if not isinstance(root, FineTune):
        raise ConfigError(
            f"a search begins with a fine-tuning, not with a recipe of kind {root.kind}", cure="use a preset"
        )
    options, fallback = training.options_here()
    if fallback:
        logger.warning(fallback)

    def search() -> SearchResult:
        # One network more than members: the recipes will seldom agree, and then a refit is served.
        return find_recipes(run, listing, catalogue, root, settings, options, True)

    result = _on_ray(search, settings) if settings.runner == "ray" else search()
    run.write(SEARCHED_FILE, result.model_dump_json().encode())
    _publish_leaderboard(run, result)
    return ended(result, result.in_words())


def read_searched(run: Run) -> SearchResult:
    """What a search that has ended wrote down."""
    return SearchResult.model_validate_json(run.open_workspace().read(f"{run.folder}/{SEARCHED_FILE}"))


def _on_ray(search: Callable[[], SearchResult], settings: SearchSettings) -> SearchResult:
    """In a flow of its own, since a flow has one task runner.

    Raises:
        ConfigError: as `ray_cluster`, or no server runs this.
    """
    if not inside_flow_run():
        raise ConfigError("runner ray needs a flow run", cure="call the flow itself, not its function")
    from flows.ray_cluster import ray_cluster

    with ray_cluster(settings) as runner:
        return Flow(search, name="search-on-ray", task_runner=runner, persist_result=False)()


def _publish_leaderboard(run: Run, found: SearchResult) -> None:
    """Show in the active flow run what was tried."""
    if inside_flow_run():
        create_table_artifact(
            leaderboard_rows(found),
            key=f"{run.name.replace('_', '-')}-leaderboard",
            description=f"{len(found.leaderboard)} recipes by {found.objective.label}, over the images that chose "
            "them.",
        )
