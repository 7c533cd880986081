"""`lightbox demo`: the main job on images that it makes."""

import io
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from flows.command_line.options import Force, JsonFile, Quiet, Training
from flows.config import DataSet, TrainingSettings, WorkspaceLocation
from tasks.data.settings import ImagesSource
from tasks.options.command import Command

if TYPE_CHECKING:
    from rich.console import Console

    from flows.result import RetrainResult

SIMULATED = (
    "All images and figures above are SIMULATED: they show that the software works, and say nothing about "
    "patients."
)


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
    from flows.command_line.terminal import called, present
    from flows.retrain import retrain

    settings: dict[str, Any] = {
        "workspace": WorkspaceLocation(url=str(folder / "workspace")),
        "dataset": DataSet(
            name="demo", positive_class="yes", finding="simulated lesion", one_image_a_patient=True
        ),
        "training": training,
    }

    def work() -> "RetrainResult":
        images = ImagesSource(url=str(_made_images(folder / "data")))
        return called(retrain)(images=images, **settings, force=force)

    present(work, lambda console, result: _show(console, result, folder), json_file=json, quiet=quiet)


def _made_images(folder: Path) -> Path:
    """The demo's images, made where they are missing."""
    from tasks.demo.data_set import make_demo
    from tasks.engine.display import StageEnd, progress_of, tell_end

    began, name = time.perf_counter(), "make demo images"
    made = make_demo(folder, progress=progress_of(name, in_prefect=False))
    words = f"{made.n_no + made.n_yes} brain slices, {made.n_yes} of them said to show a simulated lesion"
    tell_end(StageEnd(name, time.perf_counter() - began, made.reused, words))
    return made.images


def _show(console: "Console", result: "RetrainResult", folder: Path) -> None:
    """The run's summary, what was planted and found, and where to look next."""
    from flows.command_line.summary import show_retrain
    from tasks.demo.planted import planted_and_found

    show_retrain(console, result)
    groups = _columns(result.predictions, "path", "group")
    faults = planted_and_found(
        folder / "data", dict(groups), {path for (path,) in _columns(result.suspects, "path")}
    )
    lines = [
        "",
        "Planted in these images on purpose, and found:",
        *(f"  {fault.found} of {fault.planted} {fault.words}" for fault in faults),
        "",
        SIMULATED,
        "",
        "Where to look next:",
        f"  the report         {Path(result.report).absolute().as_uri()}",
        "  the whole system   make up      (Prefect's pages, schedules, an endpoint; make down stops it)",
        f"  your own images    {_command()} retrain --images FOLDER --workspace ws --name mine --positive-class yes",
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _columns(table: str, *names: str) -> list[Any]:
    """Rows of these columns of a Parquet file."""
    import pandas as pd

    frame = pd.read_parquet(io.BytesIO(Path(table).read_bytes()), columns=list(names))
    return list(frame.itertuples(index=False, name=None))


def _command() -> str:
    """How this command is called from where the user stands: its folder need not be on the search path."""
    program = Path(sys.executable).parent / "lightbox"
    here = Path.cwd()
    return str(program.relative_to(here)) if program.is_relative_to(here) and program.exists() else "lightbox"
