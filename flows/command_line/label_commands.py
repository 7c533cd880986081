"""What `lightbox label` does: syncs with Label Studio, shows figures, records, imports and exports labels."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from flows.command_line.invocation import called
from flows.command_line.output import write_json
from flows.command_line.terminal import progress_bars
from flows.config import DataSet, WorkspaceLocation
from flows.label import label
from tasks.data.settings import ImagesSource
from tasks.engine.run import Run, open_run
from tasks.errors import LabellingError
from tasks.ingest import Listing, ingest
from tasks.label_begin import document_of, studio_of
from tasks.label_exchange import decide, export_labels, import_labels
from tasks.label_pull import pull_labels
from tasks.label_status import LabelStatus, finish, sentences, status_of
from tasks.labelling.formats import ExportFormat
from tasks.labelling.project import ProjectState
from tasks.labelling.settings import LabellingSettings
from tasks.labelling.standing import read_standing


def start(
    images: ImagesSource,
    workspace: str,
    name: str,
    settings: LabellingSettings,
    *,
    json_file: Path | None,
    quiet: bool,
) -> None:
    """Begin or take up a labelling, with these settings."""
    _sync(images, workspace, name, settings, restart=True, json_file=json_file, quiet=quiet)


def sync(workspace: str, name: str, *, json_file: Path | None, quiet: bool) -> None:
    """Sync with the settings of the last start."""
    state = document_of(open_run(workspace, None, name)).read()
    _sync(_images(state), workspace, name, state.settings, restart=False, json_file=json_file, quiet=quiet)


def status(workspace: str, name: str, *, json_file: Path | None) -> None:
    """Bring in what was answered, as far as Label Studio gives it, and show the figures."""
    run = open_run(workspace, None, name)
    trouble = _pulled(run)
    found = status_of(run)
    write_json(found, json_file)
    if json_file is None:
        _show(found)
    if trouble is not None:
        words = f"warning: these figures may not be the latest: {trouble}"
        Console(stderr=True).print(words, markup=False, style="yellow", soft_wrap=True)


def end(workspace: str, name: str, *, remove_project: bool, quiet: bool) -> None:
    """Bring in the last answers and end the labelling; with `remove_project`, take it out of Label Studio."""
    run = open_run(workspace, None, name)
    pull_labels(run)
    found = status_of(run)
    if remove_project and (found.progress.to_review or found.progress.partly):
        raise LabellingError(
            f"{found.progress.to_review} images wait for a review and {found.progress.partly} for a further answer",
            cure="settle them first (`lightbox label decide --review`), or finish without --remove-project",
        )
    state = finish(run)
    if remove_project:
        with studio_of(state.settings) as studio:
            for project in (state.project, state.review_project):
                if project is not None:
                    studio.delete_project(project)
        document_of(run).set(project=None, review_project=None)
    if not quiet:
        _show(status_of(run))


def record(workspace: str, name: str, image: str, label: str | None, by: str, *, review: bool) -> None:
    """Keep one decision."""
    run = open_run(workspace, None, name)
    decision = decide(run, image, label=label, by=by, review=review)
    verdict = read_standing(run.open_workspace(), name).verdicts[decision.sha256]
    if verdict.state == "labelled":
        outcome = f"is {verdict.label} from the next run on"
    elif verdict.state == "rejected":
        outcome = "is left out from the next run on"
    elif verdict.state == "disputed":
        outcome = f"has no label now ({verdict.why_without_label}); --review settles it"
    else:
        outcome = "waits for a further opinion"
    Console(stderr=True).print(f"{decision.path} {outcome}", markup=False, highlight=False)


def bring_in(
    workspace: str, name: str, file: Path, by: str, images: ImagesSource | None, *, quiet: bool
) -> None:
    """Take the labels of a file."""
    run = open_run(workspace, None, name)
    with progress_bars(Console(stderr=True), quiet=quiet):
        imported = import_labels(run, _listing(run, images), file, by)
    if not quiet:
        Console(stderr=True).print(f"{imported.labels} labels, {imported.new} of them new", highlight=False)


def give_out(
    workspace: str, name: str, out: Path, kind: ExportFormat, images: ImagesSource | None, *, quiet: bool
) -> None:
    """Write the labels that count to a file."""
    run = open_run(workspace, None, name)
    with progress_bars(Console(stderr=True), quiet=quiet):
        exported = export_labels(run, _listing(run, images), kind)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(run.read(exported.file))
    if not quiet:
        Console(stderr=True).print(f"{exported.labels} labels in {out}", markup=False, highlight=False)


def _sync(
    images: ImagesSource,
    workspace: str,
    name: str,
    settings: LabellingSettings,
    *,
    restart: bool,
    json_file: Path | None,
    quiet: bool,
) -> None:
    with progress_bars(Console(stderr=True), quiet=quiet or json_file == Path("-")):
        found = called(label)(images, WorkspaceLocation(url=workspace), DataSet(name=name), settings, restart)
    write_json(found, json_file)
    if json_file is None and not quiet:
        _show(found)


def _pulled(run: Run) -> LabellingError | None:
    """What kept answers from coming in, if anything did."""
    try:
        pull_labels(run)
    except LabellingError as error:
        return error
    return None


def _images(state: ProjectState) -> ImagesSource:
    return ImagesSource.model_validate(state.images)


def _listing(run: Run, images: ImagesSource | None) -> Listing:
    """Of the images named, or else of those that are labelled."""
    return ingest(run, images or _images(document_of(run).read())).listing


def _show(found: LabelStatus) -> None:
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
