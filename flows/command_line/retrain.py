"""`lightbox retrain`: the whole main job."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.command_line.options import (
    About,
    Checks,
    Compute,
    Evaluation,
    Force,
    Gate,
    Images,
    JsonFile,
    Quiet,
    Search,
    Tracking,
    Training,
    Workspace,
)
from tasks.options.command import Command


@Command
def retrain(
    *,
    images: Images,
    workspace: Workspace,
    dataset: About,
    checks: Checks,
    training: Training,
    evaluation: Evaluation,
    gate: Gate,
    search: Search,
    compute: Compute,
    tracking: Tracking,
    force: Force = False,
    json: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """The main job, on the Prefect server that is configured, else in this process alone."""
    if tracking.uri is not None and "enabled" not in tracking.model_fields_set:
        tracking = tracking.model_copy(update={"enabled": True})
    settings = {
        "images": images,
        "workspace": workspace,
        "dataset": dataset,
        "checks": checks,
        "training": training,
        "search": search,
        "evaluation": evaluation,
        "gate": gate,
        "compute": compute,
        "tracking": tracking,
    }
    run_retrain(settings, needs_run=search.runner == "ray", force=force, json_file=json, quiet=quiet)


def run_retrain(
    settings: Mapping[str, Any], *, needs_run: bool, force: bool, json_file: Path | None, quiet: bool
) -> None:
    """Run the flow with the forms of these parameters; the others keep their defaults."""
    from flows.command_line.summary import show_retrain
    from flows.command_line.terminal import called, present
    from flows.retrain import retrain as flow

    present(
        lambda: called(flow, needs_run=needs_run)(**settings, force=force),
        show_retrain,
        json_file=json_file,
        quiet=quiet,
    )
