"""`lightbox demo`: the main job on images that it makes."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flows.command_line.options import Force, JsonFile, Quiet, Training
from flows.command_line.retrain import run_retrain
from flows.config import DataSet, TrainingSettings, WorkspaceLocation
from tasks.data.settings import ImagesSource
from tasks.options.command import Command


@Command
def demo(
    *,
    folder: Annotated[Path, Parameter(help="Where the demo's images and workspace are put.")] = Path("demo"),
    training: Training = TrainingSettings(preset="fast"),  # noqa: B008 - frozen
    force: Force = False,
    json: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Make the demo's images where they are missing, and run the main job on them."""
    from rich.console import Console

    from flows.command_line.terminal import progress_bars
    from tasks.demo.data_set import make_demo
    from tasks.engine.display import progress_of

    with progress_bars(Console(stderr=True), quiet=quiet):
        summary = make_demo(folder / "data", progress=progress_of("make demo images", in_prefect=False))
    settings = {
        "images": ImagesSource(url=str(summary.images)),
        "workspace": WorkspaceLocation(url=str(folder / "workspace")),
        "dataset": DataSet(
            name="demo", positive_class="yes", finding="simulated lesion", one_image_a_patient=True
        ),
        "training": training,
    }
    run_retrain(settings, needs_run=False, force=force, json_file=json, quiet=quiet)
