"""`lightbox search`: find the best recipe within a budget."""

import re
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flows.command_line.app import (
    Debug,
    Device,
    Folds,
    Force,
    Images,
    ImagesBlock,
    JsonFile,
    Manifest,
    MaxRejectFraction,
    NearCopies,
    OfProtocol,
    OfSymmetry,
    PositiveClass,
    Preset,
    Quiet,
    Seed,
    WorkspaceBlock,
    WorkspaceUrl,
)
from flows.command_line.options import SearchOptions


def name_of(images: str) -> str:
    """A data set's name from the last part of its images' URL: lower-case letters, digits, - and _."""
    last = images.rstrip("/").rpartition("/")[2].lower()
    return re.sub(r"[^a-z0-9_-]+", "-", last).strip("-_")[:63] or "images"


def search(
    *,
    images: Images,
    workspace: WorkspaceUrl,
    name: Annotated[
        str | None, Parameter(help="Name of the data set. Default: the last part of the images' URL.")
    ] = None,
    positive_class: PositiveClass = None,
    manifest: Manifest = None,
    options: SearchOptions = SearchOptions(),  # noqa: B008 - frozen
    preset: Annotated[
        Preset,
        Parameter(help="What the search begins with, and how what it chose is trained."),
    ] = "standard",
    symmetry: OfSymmetry = "any",
    device: Device = "auto",
    seed: Seed = 0,
    protocol: OfProtocol = None,
    folds: Folds = 5,
    near_copies: NearCopies = True,
    max_reject_fraction: MaxRejectFraction = 0.1,
    images_block: ImagesBlock = None,
    workspace_block: WorkspaceBlock = None,
    force: Force = False,
    json: JsonFile = None,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - read by main()
) -> None:
    """Find the best recipe within a budget, train it, and say how good it honestly is; nothing is published."""
    from rich.console import Console

    from flows.command_line.invocation import called, validated
    from flows.command_line.output import write_json
    from flows.command_line.summary import show_found_recipe
    from flows.command_line.terminal import progress_bars
    from flows.config import DataSet, TrainingSettings, WorkspaceLocation
    from flows.find_recipe import find_recipe
    from tasks.copies.settings import NearCopyRule
    from tasks.data.settings import CatalogueSettings, ImagesSource

    with validated():
        search_settings = options.settings("on")
        settings = {
            "images": ImagesSource(url=images, block=images_block, manifest=manifest),
            "workspace": WorkspaceLocation(url=workspace, block=workspace_block),
            "dataset": DataSet(name=name or name_of(images), positive_class=positive_class),
            "checks": CatalogueSettings(
                max_reject_fraction=max_reject_fraction,
                n_folds=folds,
                protocol=protocol,
                copies=NearCopyRule(search=near_copies),
            ),
            "training": TrainingSettings.model_validate(
                {"preset": preset, "symmetry": symmetry, "device": device, "seed": seed}
            ),
            "search": search_settings,
        }
    console = Console(stderr=True)
    flow = called(find_recipe, needs_run=search_settings.runner == "ray")
    with progress_bars(console, quiet=quiet or json == Path("-")):
        result = flow(**settings, force=force)  # type: ignore[arg-type]
    if not quiet:
        show_found_recipe(console, result)
    write_json(result, json)
