"""`lightbox search`: find the best recipe within a budget."""

import re
from collections.abc import Mapping
from typing import Annotated

from flows.command_line.options import (
    DATA_SET,
    SEARCH,
    Checks,
    Evaluation,
    Force,
    Images,
    JsonFile,
    Quiet,
    Training,
    Workspace,
)
from flows.config import DataSet
from tasks.automl.settings import SearchSettings
from tasks.data.settings import ImagesSource
from tasks.options.command import Command
from tasks.options.marks import As, Fallback
from tasks.record import Frozen


def name_of(images: str) -> str:
    """A data set's name from the last part of its images' URL: lower-case letters, digits, - and _."""
    last = images.rstrip("/").rpartition("/")[2].lower()
    return re.sub(r"[^a-z0-9_-]+", "-", last).strip("-_")[:63] or "images"


def _name(forms: Mapping[str, Frozen | None]) -> str:
    images = forms["images"]
    return name_of(images.url if isinstance(images, ImagesSource) else "")


NAME = As("name", fallback=Fallback("the last part of the images' URL", _name))
About = Annotated[DataSet, DATA_SET.but({"name": NAME, "finding": None})]
Search = Annotated[SearchSettings, SEARCH.but({"mode": None})]


@Command
def search(
    *,
    images: Images,
    workspace: Workspace,
    dataset: About,
    checks: Checks,
    training: Training,
    search: Search = SearchSettings(mode="on"),  # noqa: B008 - frozen
    evaluation: Evaluation,
    force: Force = False,
    json: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Find a recipe, on the Prefect server that is configured, else in this process alone."""
    from flows.command_line.summary import show_found_recipe
    from flows.command_line.terminal import called, present
    from flows.find_recipe import find_recipe

    flow = called(find_recipe, needs_run=search.runner == "ray")
    present(
        lambda: flow(
            images, workspace, dataset, checks, training, search, evaluation=evaluation, force=force
        ),
        show_found_recipe,
        json_file=json,
        quiet=quiet,
    )
