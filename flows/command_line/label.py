"""`lightbox label`: a labelling by people in Label Studio, from its start to its end."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from flows.command_line.options import Images, JsonFile, Named, Quiet, Workspace
from flows.config import DataSet, WorkspaceLocation
from tasks.data.settings import ImagesSource
from tasks.errors import ConfigError, LabellingError
from tasks.labelling.settings import LabellingSettings
from tasks.options.command import Command
from tasks.options.marks import As, Options

if TYPE_CHECKING:
    from tasks.engine.run import Run
    from tasks.label_status import LabelStatus


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read ({error})", cure="name a text file in UTF-8") from error


Labelling = Annotated[
    LabellingSettings,
    Options(
        "Labelling",
        {
            "url": As("label-studio", env_var="LIGHTBOX_LABEL_STUDIO_URL"),
            "agreement": "",
            "instructions": As(file=_text),
        },
    ),
]
BY_HAND = {
    "decide": "Record what a person says of one image, without Label Studio.",
    "import": "Take the labels of a file as a person's decisions.",
    "export": "Write the labels that count to a file.",
}

label = App(
    name="label",
    help_epilogue="The token of Label Studio comes from LIGHTBOX_LABEL_STUDIO_TOKEN or a Prefect block, never from an "
    "option.",
)
for _name, _help in BY_HAND.items():
    label.command(f"flows.command_line.label_by_hand:{_name}_", name=_name, help=_help)


@label.command
@Command
def start(
    *,
    images: Images,
    workspace: Workspace,
    dataset: Named,
    labelling: Labelling,
    json: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Make or update the project from unlabelled, conflicting and doubtful images; takes a finished one up again."""
    _sync(images, workspace, dataset, labelling, restart=True, json_file=json, quiet=quiet)


@label.command
@Command
def sync(*, workspace: Workspace, dataset: Named, json: JsonFile = None, quiet: Quiet = False) -> None:
    """Bring in what people answered, train again, and hand out what they should look at next."""
    from tasks.label_begin import document_of

    state = document_of(_run(workspace, dataset)).read()
    images = ImagesSource.model_validate(state.images)
    _sync(images, workspace, dataset, state.settings, restart=False, json_file=json, quiet=quiet)


@label.command
@Command
def status(*, workspace: Workspace, dataset: Named, json: JsonFile = None) -> None:
    """Bring in what people answered, and show the figures: in all, by class, by person, agreement."""
    from rich.console import Console

    from flows.command_line.terminal import write_json
    from tasks.label_status import status_of

    run = _run(workspace, dataset)
    trouble = _pulled(run)
    found = status_of(run)
    write_json(found, json)
    if json is None:
        _show(found)
    if trouble is not None:
        words = f"warning: these figures may not be the latest: {trouble}"
        Console(stderr=True).print(words, markup=False, style="yellow", soft_wrap=True)


@label.command
@Command
def finish(
    *,
    workspace: Workspace,
    dataset: Named,
    remove_project: Annotated[
        bool, Parameter(negative=(), help="Take the project out of Label Studio; the labels stay here.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Bring in the last answers and end the labelling."""
    from tasks.label_begin import document_of, studio_of
    from tasks.label_pull import pull_labels
    from tasks.label_status import finish as end
    from tasks.label_status import status_of

    run = _run(workspace, dataset)
    pull_labels(run)
    found = status_of(run)
    if remove_project and (found.progress.to_review or found.progress.partly):
        raise LabellingError(
            f"{found.progress.to_review} images wait for a review and {found.progress.partly} for a further answer",
            cure="settle them first (`lightbox label decide --review`), or finish without --remove-project",
        )
    state = end(run)
    if remove_project:
        with studio_of(state.settings) as studio:
            for project in (state.project, state.review_project):
                if project is not None:
                    studio.delete_project(project)
        document_of(run).set(project=None, review_project=None)
    if not quiet:
        _show(status_of(run))


def _sync(
    images: ImagesSource,
    workspace: WorkspaceLocation,
    dataset: DataSet,
    settings: LabellingSettings,
    *,
    restart: bool,
    json_file: Path | None,
    quiet: bool,
) -> None:
    from rich.console import Console

    from flows.command_line.terminal import STANDARD_OUTPUT, called, progress_bars, write_json
    from flows.label import label as flow

    with progress_bars(Console(stderr=True), quiet=quiet or json_file == STANDARD_OUTPUT):
        found = called(flow)(images, workspace, dataset, settings, restart)
    write_json(found, json_file)
    if json_file is None and not quiet:
        _show(found)


def _run(workspace: WorkspaceLocation, dataset: DataSet) -> "Run":
    from tasks.engine.run import open_run

    return open_run(workspace.url, workspace.block, dataset.name)


def _pulled(run: "Run") -> LabellingError | None:
    """What kept answers from coming in, if anything did."""
    from tasks.label_pull import pull_labels

    try:
        pull_labels(run)
    except LabellingError as error:
        return error
    return None


def _show(found: "LabelStatus") -> None:
    from rich.console import Console
    from rich.table import Table

    from tasks.label_status import sentences

    figures, console = found.progress, Console()
    table = Table("images", "", title=f"labelling of {found.name}", title_justify="left")
    rows = {
        "labelled": figures.labelled,
        **{f"  {name}": count for name, count in figures.by_class.items()},
        "rejected": figures.rejected,
        "to go": figures.to_go,
        "  partly answered": figures.partly,
        "  skipped": figures.skipped,
        "  with a suggestion": figures.suggested,
        "to review": figures.to_review,
    }
    for words, count in rows.items():
        table.add_row(words, str(count))
    console.print(table)
    if figures.people:
        people = Table("person", "labelled", "rejected", "skipped", "reviewed", "overruled", "seconds each")
        for one in figures.people:
            seconds = "" if one.median_seconds is None else f"{one.median_seconds:.1f}"
            counts = (one.labelled, one.rejected, one.skipped, one.reviewed, one.overruled)
            people.add_row(one.name, *map(str, counts), seconds)
        console.print(people)
    for sentence in sentences(found):
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)
