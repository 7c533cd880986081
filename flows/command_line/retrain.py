"""What the commands do that run stages: progress bars around them, a summary and JSON after them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from flows.command_line.invocation import called
from flows.command_line.output import write_json
from flows.command_line.summary import show_audit, show_catalogue, show_retrain, show_scores
from flows.command_line.terminal import progress_bars
from flows.config import DataSet, TrainingSettings, WorkspaceLocation
from flows.retrain import retrain
from tasks.audit import audit_images
from tasks.automl.settings import SearchSettings
from tasks.catalogue import build_catalogue
from tasks.data.settings import CatalogueSettings, ImagesSource
from tasks.engine.run import open_run
from tasks.ingest import ingest
from tasks.score import score_images


def run_retrain(settings: Mapping[str, Any], *, force: bool, json_file: Path | None, quiet: bool) -> None:
    """Run the main job: on the Prefect server that is configured, else in this process alone."""
    console = Console(stderr=True)
    on_ray = settings["search"].runner == "ray"
    with progress_bars(console, quiet=quiet or json_file == Path("-")):
        result = called(retrain, needs_run=on_ray)(**settings, force=force)
    if not quiet:
        show_retrain(console, result)
    write_json(result, json_file)


def run_demo(
    folder: Path, *, preset: str, seed: int, force: bool, json_file: Path | None, quiet: bool
) -> None:
    """Make the demo's images where they are missing, and run the main job on them."""
    from tasks.demo.data_set import make_demo
    from tasks.engine.display import progress_of

    with progress_bars(Console(stderr=True), quiet=quiet):
        summary = make_demo(folder / "data", progress=progress_of("make demo images", in_prefect=False))
    settings = {
        "images": ImagesSource(url=str(summary.images)),
        "workspace": WorkspaceLocation(url=str(folder / "workspace")),
        "dataset": DataSet(name="demo", positive_class="yes", finding="simulated lesion"),
        "training": TrainingSettings.model_validate({"preset": preset, "seed": seed}),
        "search": SearchSettings(),
    }
    run_retrain(settings, force=force, json_file=json_file, quiet=quiet)


def run_catalogue(
    source: ImagesSource,
    workspace: str,
    name: str,
    settings: CatalogueSettings,
    positive_class: str | None,
    *,
    json_file: Path | None,
    quiet: bool,
) -> None:
    """Check images without training."""
    console = Console(stderr=True)
    run = open_run(workspace, None, name)
    with progress_bars(console, quiet=quiet or json_file == Path("-")):
        catalogue = build_catalogue(run, ingest(run, source).listing, settings, positive_class)
        audit = audit_images(run, catalogue)
    if not quiet:
        show_catalogue(console, run, catalogue)
        show_audit(console, audit.findings)
    write_json(
        {**catalogue.model_dump(mode="json"), "audit": audit.findings.model_dump(mode="json")}, json_file
    )


def run_score(bundle: str, images: str, out: str, *, json_file: Path | None, quiet: bool) -> None:
    """Score a store."""
    console = Console(stderr=True)
    run = open_run(out, None, "scores")
    with progress_bars(console, quiet=quiet or json_file == Path("-")):
        scores = score_images(run, ImagesSource(url=images), bundle, None)
    if not quiet:
        show_scores(console, run, scores)
    write_json(scores, json_file)
