"""The `lightbox` command. Options are plain values; heavy imports happen inside the command that needs them."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter
from rich.console import Console

from flows.command_line.options import SearchOptions

Preset = Literal["fast", "standard", "thorough"]
Protocol = Literal["cross_validation", "holdout", "given_split"]
Symmetry = Literal["any", "mirror", "none"]

Debug = Annotated[bool, Parameter(negative=(), help="Show the traceback of an expected failure.")]
Quiet = Annotated[bool, Parameter(negative=(), help="No progress bars and no summary.")]
JsonFile = Annotated[
    Path | None,
    Parameter(
        name="--json",
        allow_leading_hyphen=True,
        help="Write the result as JSON to this file; - is standard output.",
    ),
]
Images = Annotated[
    str, Parameter(help="Folder or fsspec URL of the images: az://..., s3://..., gs://..., /data/scans.")
]
WorkspaceUrl = Annotated[str, Parameter(help="Folder or fsspec URL that Lightbox owns.")]
Name = Annotated[str, Parameter(help="Name of the data set and of the model made from it.")]
PositiveClass = Annotated[str | None, Parameter(help="The finding, such as yes. Needed with two classes.")]
Manifest = Annotated[
    str | None,
    Parameter(
        help="CSV, Parquet or JSON lines with path, label and optionally group, split. Default: a folder a class."
    ),
]
Device = Annotated[Literal["auto", "cpu", "cuda"], Parameter(help="Where to train.")]
Seed = Annotated[int, Parameter(help="Seed of everything random.")]
OfProtocol = Annotated[Protocol | None, Parameter(help="How images are kept apart. Default: by the data.")]
Folds = Annotated[int, Parameter(help="Folds of the ledger, fixed at the first run.")]
NearCopies = Annotated[
    bool, Parameter(help="Look for near copies; off for pictures that look alike without being copies.")
]
OfSymmetry = Annotated[
    Symmetry, Parameter(help="What leaves a picture's meaning alone. any: turning, mirroring. mirror. none.")
]
MaxRejectFraction = Annotated[float, Parameter(help="Unusable images above this share stop the run.")]
ImagesBlock = Annotated[str | None, Parameter(help="Datastore block with the secrets for the images.")]
WorkspaceBlock = Annotated[str | None, Parameter(help="Datastore block with the secrets for the workspace.")]
Force = Annotated[bool, Parameter(negative=(), help="Run every stage again, also where nothing changed.")]
BundleUri = Annotated[
    str, Parameter(help="Folder or URL of a model bundle, as `lightbox models list` shows it.")
]

app = App(
    name="lightbox",
    help="Train, evaluate honestly, promote and use medical-image classifiers.",
    help_epilogue="Secrets come from the environment (AZURE_STORAGE_CONNECTION_STRING and the like) or from a "
    "Prefect block, never from an option.",
)


def main() -> None:
    """Entry point: an expected failure is one message and exit code 2."""
    from tasks.errors import LightboxError

    # Idle OpenMP threads sleep instead of spinning: on a machine that does other work too, training is several
    # times as fast. Read by the runtime when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app(sys.argv[1:])
    except LightboxError as error:
        if "--debug" in sys.argv:
            raise
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(f"error: {error}", markup=False, style="red")
        sys.exit(2)
    except KeyboardInterrupt:
        Console(stderr=True).print("Stopped. The same command goes on from the last finished stage.")
        sys.exit(130)


@app.command
def retrain(
    *,
    images: Images,
    workspace: WorkspaceUrl,
    name: Name,
    positive_class: PositiveClass = None,
    finding: Annotated[str | None, Parameter(help="The finding in a reader's words, such as tumour.")] = None,
    manifest: Manifest = None,
    preset: Annotated[
        Preset,
        Parameter(help="fast: about a minute. standard: minutes on a CPU. thorough: searches the recipe."),
    ] = "standard",
    search: Annotated[bool | None, Parameter(help="Search the recipe. Default: by the preset.")] = None,
    search_options: SearchOptions = SearchOptions(),  # noqa: B008 - frozen
    symmetry: OfSymmetry = "any",
    backbone: Annotated[
        str | None, Parameter(help="Pretrained network; `lightbox doctor` lists them.")
    ] = None,
    weights: Annotated[
        str, Parameter(help="auto, none (random start), or a URL of .safetensors or .pth.")
    ] = "auto",
    device: Device = "auto",
    devices: Annotated[
        int, Parameter(help="GPUs, or CPU processes where there is no GPU, that share one training.")
    ] = 1,
    seed: Seed = 0,
    protocol: OfProtocol = None,
    folds: Folds = 5,
    near_copies: NearCopies = True,
    served: Annotated[Literal["average", "refit"], Parameter(help="What the endpoint serves.")] = "average",
    recall_target: Annotated[float, Parameter(help="The threshold is chosen for this recall.")] = 0.95,
    min_recall: Annotated[float, Parameter(help="Bar on the lower bound of recall.")] = 0.85,
    max_reject_fraction: MaxRejectFraction = 0.1,
    images_block: ImagesBlock = None,
    workspace_block: WorkspaceBlock = None,
    track: Annotated[
        bool, Parameter(negative=(), help="Log the run, its figures and its bundle to MLflow (extra mlflow).")
    ] = False,
    tracking_uri: Annotated[
        str | None, Parameter(help="Default: MLFLOW_TRACKING_URI, else a database file of this user.")
    ] = None,
    force: Force = False,
    json: JsonFile = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Pull images, check them, fine-tune, evaluate honestly, report, and promote the model if it is good enough."""
    from flows.command_line.invocation import validated
    from flows.command_line.retrain import run_retrain
    from flows.config import DataSet, EvaluationSettings, TrainingSettings, WorkspaceLocation
    from tasks.copies.settings import NearCopyRule
    from tasks.data.settings import CatalogueSettings, ImagesSource
    from tasks.evaluation.settings import GateSettings
    from tasks.tracking.settings import TrackingSettings

    with validated():
        settings = {
            "images": ImagesSource(url=images, block=images_block, manifest=manifest),
            "workspace": WorkspaceLocation(url=workspace, block=workspace_block),
            "dataset": DataSet(name=name, positive_class=positive_class, finding=finding),
            "checks": CatalogueSettings(
                max_reject_fraction=max_reject_fraction,
                n_folds=folds,
                protocol=protocol,
                copies=NearCopyRule(search=near_copies),
            ),
            "training": TrainingSettings.model_validate(
                {
                    "preset": preset,
                    "symmetry": symmetry,
                    "backbone": backbone,
                    "weights": weights,
                    "device": device,
                    "devices": devices,
                    "seed": seed,
                }
            ),
            "search": search_options.settings("by_preset" if search is None else "on" if search else "off"),
            "evaluation": EvaluationSettings(recall_target=recall_target, served=served),
            "gate": GateSettings(min_recall=min_recall),
            "tracking": TrackingSettings(enabled=track or tracking_uri is not None, uri=tracking_uri),
        }
    run_retrain(settings, force=force, json_file=json, quiet=quiet)


@app.command
def demo(
    *,
    folder: Annotated[Path, Parameter(help="Where the demo's images and workspace are put.")] = Path("demo"),
    preset: Annotated[Preset, Parameter(help="What is trained.")] = "fast",
    seed: Seed = 0,
    force: Force = False,
    json: JsonFile = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Make 253 brain slices with simulated lesions, and do the whole main job on them."""
    from flows.command_line.retrain import run_demo

    run_demo(folder, preset=preset, seed=seed, force=force, json_file=json, quiet=quiet)


@app.command
def catalogue(
    *,
    images: Images,
    workspace: WorkspaceUrl,
    name: Name,
    positive_class: PositiveClass = None,
    manifest: Manifest = None,
    folds: Folds = 5,
    max_reject_fraction: MaxRejectFraction = 0.1,
    json: JsonFile = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Check the images, find copies, assign folds and measure shortcuts, without training."""
    from flows.command_line.invocation import validated
    from flows.command_line.retrain import run_catalogue
    from tasks.data.settings import CatalogueSettings, ImagesSource

    with validated():
        source = ImagesSource(url=images, manifest=manifest)
        settings = CatalogueSettings(max_reject_fraction=max_reject_fraction, n_folds=folds)
    run_catalogue(source, workspace, name, settings, positive_class, json_file=json, quiet=quiet)


@app.command(name="serve", help_flags=[], version_flags=[])
def serve(*options: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:
    """Answer predictions over HTTP with the champion, on a machine of its own: see `lightbox serve --help`."""
    command = [sys.executable, "-m", "deployments.endpoint", *options]
    os.execv(sys.executable, command)  # noqa: S606 - a fixed module, no shell


@app.command(name="deploy", help_flags=[], version_flags=[])
def deploy(*options: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:
    """Register work pools, deployments, schedules and notification with Prefect: see `lightbox deploy --help`."""
    command = [sys.executable, "-m", "deployments", *options]
    os.execv(sys.executable, command)  # noqa: S606 - a fixed module, no shell


@app.command
def predict(
    files: Annotated[list[Path], Parameter(help="Image files.")],
    /,
    *,
    bundle: BundleUri,
    debug: Debug = False,
) -> None:
    """Say what a model thinks of image files: one JSON line a file."""
    from flows.command_line.predict import predict_files

    sys.exit(predict_files(bundle, files))


@app.command
def score(
    *,
    bundle: BundleUri,
    images: Images,
    out: Annotated[str, Parameter(help="Folder or fsspec URL for scores.parquet and scores.csv.")],
    json: JsonFile = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Score every image of a store; goes on where it was stopped, bad images become rows with a reason."""
    from flows.command_line.retrain import run_score

    run_score(bundle, images, out, json_file=json, quiet=quiet)


@app.command
def doctor(
    *,
    workspace: Annotated[str | None, Parameter(help="Workspace to check for access.")] = None,
    images: Annotated[str | None, Parameter(help="Image store to check for access.")] = None,
    debug: Debug = False,
) -> None:
    """Say what is installed, which weights can be had, which device there is, and whether stores answer."""
    from flows.command_line.doctor import examine

    sys.exit(examine(workspace, images))


app.command(
    "flows.command_line.search:search",
    name="search",
    help="Find the best recipe within a budget, train it, and say how good it honestly is.",
)
app.command(
    "flows.command_line.compare:compare",
    name="compare",
    help="Compare two models on images that neither learnt from: figures, paired tests, and a page.",
)
app.command(
    "flows.command_line.label:label",
    name="label",
    help="Label images with people, in Label Studio, assisted by a model.",
)

models = App(name="models", help="List, show, promote and roll back model versions.")
app.command(models)


@models.command(name="list")
def list_models(
    *,
    workspace: WorkspaceUrl,
    name: Annotated[str | None, Parameter(help="One model; all of them when left out.")] = None,
    json: JsonFile = None,
    debug: Debug = False,
) -> None:
    """List the versions of the models with their aliases and honest figures."""
    from flows.command_line.models import list_versions

    list_versions(workspace, name, json)


@models.command
def show(
    *,
    workspace: WorkspaceUrl,
    name: Name,
    version: Annotated[str, Parameter(help="A version such as v3, or champion or challenger.")] = "champion",
    debug: Debug = False,
) -> None:
    """Show all that is known of one version, as JSON."""
    from flows.command_line.models import show_version

    show_version(workspace, name, version)


@models.command
def promote(
    *,
    workspace: WorkspaceUrl,
    name: Name,
    version: Annotated[str, Parameter(help="The version that is to be served.")],
    reason: Annotated[str, Parameter(help="Why; it is kept in the history.")],
    debug: Debug = False,
) -> None:
    """Serve a version from now on, whatever the gate said."""
    from flows.command_line.models import promote_version

    promote_version(workspace, name, version, reason)


@models.command
def rollback(
    *,
    workspace: WorkspaceUrl,
    name: Name,
    reason: Annotated[str, Parameter(help="Why; it is kept in the history.")],
    debug: Debug = False,
) -> None:
    """Serve the champion before this one again."""
    from flows.command_line.models import roll_back

    roll_back(workspace, name, reason)


workspace_commands = App(name="workspace", help="Show what a workspace holds, and remove what is not needed.")
app.command(workspace_commands)


@workspace_commands.command(name="show")
def show_workspace(
    *,
    workspace: WorkspaceUrl,
    json: JsonFile = None,
    debug: Debug = False,
) -> None:
    """Say what takes up how much room."""
    from flows.command_line.workspace import show_usage

    show_usage(workspace, json)


@workspace_commands.command
def prune(
    *,
    workspace: WorkspaceUrl,
    name: Annotated[str | None, Parameter(help="One data set and model; all of them when left out.")] = None,
    keep: Annotated[int, Parameter(help="Runs and versions that stay, beside those that an alias needs.")],
    min_age_hours: Annotated[
        float, Parameter(help="What was written since is left alone: a run may be at work on it.")
    ] = 24.0,
    apply: Annotated[
        bool, Parameter(negative=(), help="Remove; without it, only say what would go.")
    ] = False,
    json: JsonFile = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Remove old runs, versions and caches that no alias, rollback, comparison or kept run needs."""
    from flows.command_line.workspace import prune as run_prune
    from tasks.errors import ConfigError

    if keep < 1 or min_age_hours < 0:
        raise ConfigError(
            f"--keep {keep} --min-age-hours {min_age_hours:g}", cure="keep at least 1; hours are not negative"
        )
    run_prune(
        workspace, name, keep=keep, min_age_hours=min_age_hours, apply=apply, json_file=json, quiet=quiet
    )
