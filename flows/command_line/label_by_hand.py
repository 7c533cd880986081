"""`lightbox label` without Label Studio: one decision, and labels from and to files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from flows.command_line.options import IMAGES, Named, Quiet, Workspace
from tasks.data.settings import ImagesSource
from tasks.errors import ConfigError
from tasks.options.command import Command

if TYPE_CHECKING:
    from tasks.engine.run import Run
    from tasks.ingest import Listing

By = Annotated[str, Parameter(help="Who says so: a person's name or address.")]
OtherImages = Annotated[
    ImagesSource | None, IMAGES.but({}, "Images; left out, those of the labelling that was started")
]


@Command
def decide_(
    *,
    workspace: Workspace,
    dataset: Named,
    image: Annotated[str, Parameter(help="Path below the image store, as reports show it, or SHA-256.")],
    label: Annotated[str | None, Parameter(help="The class.")] = None,
    reject: Annotated[
        bool, Parameter(negative=(), help="It is no usable image, instead of a class.")
    ] = False,
    by: By,
    review: Annotated[bool, Parameter(negative=(), help="Settle it, whatever others said.")] = False,
) -> None:
    """Keep one decision, and say what it comes to."""
    if (label is None) is not reject:
        raise ConfigError("decide needs either a label or --reject", cure="add --label CLASS, or --reject")
    from rich.console import Console

    from tasks.engine.run import open_run
    from tasks.label_exchange import decide
    from tasks.labelling.standing import read_standing

    run = open_run(workspace.url, workspace.block, dataset.name)
    decision = decide(run, image, label=label, by=by, review=review)
    verdict = read_standing(run.open_workspace(), run.name).verdicts[decision.sha256]
    if verdict.state == "labelled":
        outcome = f"is {verdict.label} from the next run on"
    elif verdict.state == "rejected":
        outcome = "is left out from the next run on"
    elif verdict.state == "disputed":
        outcome = f"has no label now ({verdict.why_without_label}); --review settles it"
    else:
        outcome = "waits for a further opinion"
    Console(stderr=True).print(f"{decision.path} {outcome}", markup=False, highlight=False)


@Command
def import_(
    file: Annotated[Path, Parameter(help="CSV, Parquet, JSON lines, COCO, or Label Studio's JSON export.")],
    /,
    *,
    workspace: Workspace,
    dataset: Named,
    by: By,
    images: OtherImages = None,
    quiet: Quiet = False,
) -> None:
    """Take the labels of a file."""
    from rich.console import Console

    from flows.command_line.terminal import progress_bars
    from tasks.engine.run import open_run
    from tasks.label_exchange import import_labels

    run = open_run(workspace.url, workspace.block, dataset.name)
    with progress_bars(Console(stderr=True), quiet=quiet):
        imported = import_labels(run, _listing(run, images), file, by)
    if not quiet:
        Console(stderr=True).print(f"{imported.labels} labels, {imported.new} of them new", highlight=False)


@Command
def export_(
    out: Annotated[Path, Parameter(help="File to write.")],
    /,
    *,
    workspace: Workspace,
    dataset: Named,
    format: Annotated[
        Literal["csv", "coco", "jsonl"], Parameter(help="csv and jsonl (Azure's) serve as --manifest.")
    ] = "csv",
    images: OtherImages = None,
    quiet: Quiet = False,
) -> None:
    """Write the labels that count to a file."""
    from rich.console import Console

    from flows.command_line.terminal import progress_bars
    from tasks.engine.run import open_run
    from tasks.label_exchange import export_labels

    run = open_run(workspace.url, workspace.block, dataset.name)
    with progress_bars(Console(stderr=True), quiet=quiet):
        exported = export_labels(run, _listing(run, images), format)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(run.read(exported.file))
    if not quiet:
        Console(stderr=True).print(f"{exported.labels} labels in {out}", markup=False, highlight=False)


def _listing(run: "Run", images: ImagesSource | None) -> "Listing":
    """Of the images named, or else of those that are labelled."""
    from tasks.ingest import ingest
    from tasks.label_begin import document_of

    named = images or ImagesSource.model_validate(document_of(run).read().images)
    return ingest(run, named).listing
