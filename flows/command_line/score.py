"""`lightbox score`: what a bundle says of every image of a store."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from flows.command_line.options import IMAGES, BundleUri, JsonFile, Quiet
from flows.config import WorkspaceLocation
from tasks.data.settings import ImagesSource
from tasks.options.command import Command
from tasks.options.marks import Options

if TYPE_CHECKING:
    pass

Unlabelled = Annotated[ImagesSource, IMAGES.but({"manifest": None, "labels": None})]
Out = Annotated[WorkspaceLocation, Options("Scores", {"url": "out", "block": "out-block"})]


@Command
def score(
    *,
    bundle: BundleUri,
    bundle_block: Annotated[
        str | None, Parameter(help="Name of a Lightbox Datastore block with the secrets for the bundle.")
    ] = None,
    images: Unlabelled,
    out: Out,
    json: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Write scores.parquet and scores.csv below `out`."""
    from flows.command_line.summary import show_scores
    from flows.command_line.terminal import present
    from tasks.engine.run import open_run
    from tasks.score import score_images

    run = open_run(out.url, out.block, "scores")
    present(
        lambda: score_images(run, images, bundle, bundle_block),
        lambda console, scores: show_scores(console, run, scores),
        json_file=json,
        quiet=quiet,
    )
