"""`lightbox label`: its options; what the commands do stands in `label_commands`. Loaded when it is called."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from flows.command_line.app import Debug, Images, ImagesBlock, JsonFile, Manifest, Name, Quiet, WorkspaceUrl

if TYPE_CHECKING:
    from tasks.data.settings import ImagesSource

By = Annotated[str, Parameter(help="Who says so: a person's name or address.")]
OtherImages = Annotated[
    str | None, Parameter(help="Where the images are. Left out: those of the labelling that was started.")
]

label = App(
    name="label",
    help="Label images with people, in Label Studio, assisted by a model.",
    help_epilogue="The token of Label Studio comes from LIGHTBOX_LABEL_STUDIO_TOKEN or a Prefect block, never from an "
    "option.",
)


@label.command
def start(
    *,
    images: Images,
    workspace: WorkspaceUrl,
    name: Name,
    classes: Annotated[
        list[str] | None,
        Parameter(
            consume_multiple=True, help="Class names, in the order of their keys. Default: those of the data."
        ),
    ] = None,
    manifest: Manifest = None,
    label_studio: Annotated[
        str, Parameter(env_var="LIGHTBOX_LABEL_STUDIO_URL", help="Where Label Studio answers.")
    ] = "http://127.0.0.1:8080",
    min_labellers: Annotated[int, Parameter(help="People who look at each image.")] = 1,
    max_labellers: Annotated[
        int | None, Parameter(help="People asked at most where there is no majority; then a review decides.")
    ] = None,
    assist: Annotated[bool, Parameter(help="A model suggests labels and chooses what is asked next.")] = True,
    precision: Annotated[
        float, Parameter(help="Suggestions are shown when those as sure were right so often.")
    ] = 0.95,
    queue_images: Annotated[
        int, Parameter(help="Unanswered images that stand in Label Studio at once.")
    ] = 200,
    images_by: Annotated[
        Literal["upload", "link"], Parameter(help="Copies behind Label Studio's login, or signed links.")
    ] = "upload",
    link_hours: Annotated[float, Parameter(help="How long a signed link is valid.")] = 24,
    instructions: Annotated[
        Path | None, Parameter(help="Text file with what people read before they begin.")
    ] = None,
    suspects: Annotated[bool, Parameter(help="Ask again about labels that the last report doubts.")] = True,
    low_confidence: Annotated[
        float, Parameter(help="Ask about images of the endpoint's log below this probability; 0: none.")
    ] = 0.7,
    retrain_after: Annotated[int, Parameter(help="So many newly settled labels call for a retraining.")] = 50,
    images_block: ImagesBlock = None,
    token_block: Annotated[str | None, Parameter(help="Lightbox Label Studio block with the token.")] = None,
    json: JsonFile = None,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - read by main()
) -> None:
    """Make or update the project from unlabelled, conflicting and doubtful images; takes a finished one up again."""
    from flows.command_line.invocation import validated
    from flows.command_line.label_commands import start as run_start
    from tasks.data.settings import ImagesSource
    from tasks.labelling.settings import DEFAULT_INSTRUCTIONS, AgreementRule, LabellingSettings

    with validated():
        source = ImagesSource(url=images, block=images_block, manifest=manifest)
        settings = LabellingSettings(
            classes=tuple(classes or ()),
            url=label_studio,
            token_block=token_block,
            agreement=AgreementRule(
                min_labellers=min_labellers, max_labellers=max(min_labellers, max_labellers or min_labellers)
            ),
            instructions=_text(instructions) if instructions is not None else DEFAULT_INSTRUCTIONS,
            assist=assist,
            precision=precision,
            queue_images=queue_images,
            images_by=images_by,
            link_hours=link_hours,
            suspects=suspects,
            low_confidence=low_confidence,
            retrain_after=retrain_after,
        )
    run_start(source, workspace, name, settings, json_file=json, quiet=quiet)


@label.command
def sync(
    *,
    workspace: WorkspaceUrl,
    name: Name,
    json: JsonFile = None,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Bring in what people answered, train again, and hand out what they should look at next."""
    from flows.command_line.label_commands import sync as run_sync

    run_sync(workspace, name, json_file=json, quiet=quiet)


@label.command
def status(
    *,
    workspace: WorkspaceUrl,
    name: Name,
    json: JsonFile = None,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Bring in what people answered, and show the figures: in all, by class, by person, agreement."""
    from flows.command_line.label_commands import status as run_status

    run_status(workspace, name, json_file=json)


@label.command
def finish(
    *,
    workspace: WorkspaceUrl,
    name: Name,
    remove_project: Annotated[
        bool, Parameter(negative=(), help="Take the project out of Label Studio; the labels stay here.")
    ] = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Bring in the last answers and end the labelling."""
    from flows.command_line.label_commands import end

    end(workspace, name, remove_project=remove_project, quiet=quiet)


@label.command
def decide(
    *,
    workspace: WorkspaceUrl,
    name: Name,
    image: Annotated[str, Parameter(help="Path below the image store, as reports show it, or SHA-256.")],
    label: Annotated[str | None, Parameter(help="The class.")] = None,
    reject: Annotated[
        bool, Parameter(negative=(), help="It is no usable image, instead of a class.")
    ] = False,
    by: By,
    review: Annotated[bool, Parameter(negative=(), help="Settle it, whatever others said.")] = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Record what a person says of one image, without Label Studio."""
    from flows.command_line.label_commands import record
    from tasks.errors import ConfigError

    if (label is None) is not reject:
        raise ConfigError("decide needs either a label or --reject", cure="add --label CLASS, or --reject")
    record(workspace, name, image, label, by, review=review)


@label.command(name="import")
def import_file(
    file: Annotated[Path, Parameter(help="CSV, Parquet, JSON lines, COCO, or Label Studio's JSON export.")],
    /,
    *,
    workspace: WorkspaceUrl,
    name: Name,
    by: By,
    images: OtherImages = None,
    images_block: ImagesBlock = None,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Take the labels of a file as a person's decisions."""
    from flows.command_line.label_commands import bring_in

    bring_in(workspace, name, file, by, _source(images, images_block), quiet=quiet)


@label.command
def export(
    out: Annotated[Path, Parameter(help="File to write.")],
    /,
    *,
    workspace: WorkspaceUrl,
    name: Name,
    format: Annotated[
        Literal["csv", "coco", "jsonl"], Parameter(help="csv and jsonl (Azure's) serve as --manifest.")
    ] = "csv",
    images: OtherImages = None,
    images_block: ImagesBlock = None,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Write the labels that count to a file."""
    from flows.command_line.label_commands import give_out

    give_out(workspace, name, out, format, _source(images, images_block), quiet=quiet)


def _source(images: str | None, block: str | None) -> "ImagesSource | None":
    from tasks.data.settings import ImagesSource

    return None if images is None else ImagesSource(url=images, block=block)


def _text(file: Path) -> str:
    from tasks.errors import ConfigError

    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read ({error})", cure="name a text file in UTF-8") from error
