"""Search: where its trainings run. A flow of its own, since a flow has one task runner."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect import flow
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from tasks.artifacts import publish_leaderboard
from tasks.automl.chosen import SearchResult
from tasks.automl.settings import SearchSettings
from tasks.catalogue import Catalogue
from tasks.engine.run import Run
from tasks.engine.stage import inside_flow_run
from tasks.errors import ConfigError
from tasks.ingest import Listing
from tasks.search import find_recipes
from tasks.training.recipes import FineTune, Recipe, TrainingOptions


def searched(
    run: Run,
    listing: Listing,
    catalogue: Catalogue,
    root: Recipe,
    settings: SearchSettings,
    options: TrainingOptions,
    *,
    refit: bool,
) -> SearchResult:
    """Search on the task runner that is set; in this process where no server runs this.

    Raises: ConfigError when the recipe to begin with is no fine-tuning, or there is no Ray cluster to search on.
    """
    if not isinstance(root, FineTune):
        raise ConfigError(
            f"a search begins with a fine-tuning, not with a recipe of kind {root.kind}", cure="use a preset"
        )
    if not inside_flow_run():
        if settings.runner == "ray":
            raise ConfigError("runner ray needs a flow run", cure="call the flow itself, not its function")
        return find_recipes(run, listing, catalogue, root, settings, options, refit)
    with task_runner(settings) as runner:
        flow_there = search_recipes.with_options(task_runner=runner)
        result = flow_there(run, listing, catalogue, root, settings, options, refit)
    publish_leaderboard(run, result)
    return result


@flow(name="search", flow_run_name="search-{run.name}", persist_result=False)
def search_recipes(
    run: Run,
    listing: Listing,
    catalogue: Catalogue,
    root: FineTune,
    settings: SearchSettings,
    options: TrainingOptions,
    refit: bool,
) -> SearchResult:
    """Find each fold's recipe from networks that never saw the fold.

    Args:
        run: The run that asks for it.
        listing: The images.
        catalogue: The catalogue.
        root: The preset's recipe, which the search begins with.
        settings: Budget, space and where trainings run.
        options: Seed and device.
        refit: Whether one more network is trained in the end, for the budget.
    """
    return find_recipes(run, listing, catalogue, root, settings, options, refit)


@contextmanager
def task_runner(settings: SearchSettings) -> Iterator[TaskRunner[Any]]:
    """Threads of this process, or a Ray cluster; raises as `ray_cluster`."""
    if settings.runner == "ray":
        from flows.ray_cluster import ray_cluster

        with ray_cluster(settings) as runner:
            yield runner
    else:
        yield ThreadPoolTaskRunner(max_workers=settings.max_concurrent_trials)
