"""`lightbox search`: find the best recipe within a budget."""

import re
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from flows.cli import (
    Debug,
    Images,
    JsonFile,
    Manifest,
    PositiveClass,
    Protocol,
    Quiet,
    Symmetry,
    WorkspaceUrl,
)
from flows.search_options import SearchOptions


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
        Literal["fast", "standard", "thorough"],
        Parameter(help="What the search begins with, and how what it chose is trained."),
    ] = "standard",
    symmetry: Annotated[Symmetry, Parameter(help="What leaves a picture's meaning alone.")] = "any",
    device: Annotated[Literal["auto", "cpu", "cuda"], Parameter(help="Where to train.")] = "auto",
    seed: Annotated[int, Parameter(help="Seed of everything random.")] = 0,
    protocol: Annotated[
        Protocol | None, Parameter(help="How images are kept apart. Default: by the data.")
    ] = None,
    folds: Annotated[int, Parameter(help="Folds of the ledger, fixed at the first run.")] = 5,
    near_copies: Annotated[bool, Parameter(help="Look for near copies.")] = True,
    max_reject_fraction: Annotated[
        float, Parameter(help="Unusable images above this share stop the run.")
    ] = 0.1,
    images_block: Annotated[
        str | None, Parameter(help="Datastore block with the secrets for the images.")
    ] = None,
    workspace_block: Annotated[
        str | None, Parameter(help="Datastore block with the secrets for the workspace.")
    ] = None,
    force: Annotated[
        bool, Parameter(negative=(), help="Run every stage again, also where nothing changed.")
    ] = False,
    json: JsonFile = None,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - read by main()
) -> None:
    """Find the best recipe within a budget, train it, and say how good it honestly is; nothing is published."""
    from rich.console import Console

    from flows.config import DataSet, TrainingSettings, WorkspaceLocation
    from flows.find_recipe import find_recipe
    from flows.invocation import server_configured, validated
    from flows.output import write_json
    from flows.summary import show_found_recipe
    from flows.terminal import progress_bars
    from tasks.catalogue import CatalogueSettings
    from tasks.data.near_copies import NearCopyRule
    from tasks.ingest import ImagesSource

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
    flow = find_recipe if server_configured() or search_settings.runner == "ray" else find_recipe.fn
    with progress_bars(console, quiet=quiet or json == Path("-")):
        result = flow(**settings, force=force)  # type: ignore[arg-type]
    if not quiet:
        show_found_recipe(console, result)
    write_json(result, json)
