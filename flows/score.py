"""Score: a whole store with a model of the registry, from the UI or by a schedule."""

from typing import Literal

from prefect import flow
from pydantic import Field

from flows.config import NAME_PATTERN, WorkspaceLocation
from tasks.data.settings import ImagesSource
from tasks.engine.flow_run import ended, run_name
from tasks.engine.run import open_run
from tasks.models.registry import Registry
from tasks.record import Frozen
from tasks.score import Scores, score_images


class RegisteredModel(Frozen, title="Model"):
    """Which model scores."""

    workspace: WorkspaceLocation = Field(description="Workspace with the registry.")
    name: str = Field(pattern=NAME_PATTERN, description="Name of the model.")
    version: Literal["champion", "challenger"] | str = Field(
        default="champion",
        pattern=r"^(champion|challenger|v[0-9]+)$",
        description="champion, challenger, or v3.",
    )


@flow(name="score", flow_run_name=run_name, persist_result=False)
def score_store(model: RegisteredModel, images: ImagesSource, out: WorkspaceLocation) -> Scores:
    """Score every image of a store; goes on where it was stopped, bad images become rows with a reason.

    Args:
        model: Which model scores.
        images: What is scored.
        out: Where scores.parquet and scores.csv are put.
    """
    registry = open_run(model.workspace.url, model.workspace.block, model.name).open_workspace()
    version = Registry(registry).resolve(model.name, model.version)
    run = open_run(out.url, out.block, model.name)
    scores = score_images(run, images, Registry(registry).uri(model.name, version), model.workspace.block)
    return ended(scores, f"by {model.name} {version}: {scores.in_words()}")
