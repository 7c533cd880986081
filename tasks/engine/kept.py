"""What is kept of stages: results by the digest of their inputs, and which run used which.

The one reader and writer of both. Runs and stages are known by name here; nothing is run.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from tasks.record import FileReference, Frozen, references_in
from tasks.stores.layout import RUN_FILE, STAGE_RESULT, STAGE_USE, run_of_use
from tasks.stores.workspace import Workspace


class KeptResult(Frozen):
    """What a stage answered once."""

    stage: str = Field(description="Name of the stage, with its fields not filled in.")
    name: str = Field(description="Name of the data set and of the model.")
    run: str = Field(description="The run that made it.")
    seconds: float | None = Field(
        default=None, ge=0, description="Wall-clock seconds that it took; None of results of version 0.1.0."
    )
    record: dict[str, Any] = Field(description="The record, as JSON.")

    @property
    def files(self) -> tuple[FileReference, ...]:
        """The files that the record refers to."""
        return tuple(references_in(self.record))

    @property
    def folders(self) -> frozenset[str]:
        """The folders that the record refers to: what has a path and no digest of its own."""
        return frozenset(_folders_in(self.record))


class StageUse(Frozen):
    """What one stage of a run stands on: what must stay as long as the run does."""

    name: str = Field(description="Name of the data set and of the model.")
    stage: str = Field(description="The stage, with its fields filled in.")
    node: str | None = Field(
        default=None, description="Node of the run that it belongs to, where there are several."
    )
    entry: str = Field(description="Path of the kept result below the workspace.")
    files: tuple[str, ...] = Field(description="Paths of the files that the result refers to.")
    reused: bool = Field(description="Whether the result was an earlier run's.")


def result_path(stage: str, digest: str) -> str:
    """Where the result of a stage with inputs of a digest is kept; of a stage's name only the first word counts."""
    return STAGE_RESULT.path(stage=stage.split(" ", maxsplit=1)[0], digest=digest)


def keep_result(workspace: Workspace, path: str, result: KeptResult) -> None:
    """Keep a result."""
    workspace.write(path, json.dumps(result.model_dump()).encode())


def read_result(workspace: Workspace, path: str) -> KeptResult | None:
    """A kept result; None where there is none, or one that cannot be read."""
    if not workspace.exists(path):
        return None
    try:
        return KeptResult.model_validate(json.loads(workspace.read(path)))
    except ValueError:
        return None


def tell_use(workspace: Workspace, run: str, use: StageUse) -> None:
    """Keep in a run's folder that it uses a result; one stage may run several times in a run."""
    digest = use.entry.rpartition("/")[2][:8]
    told = f"{_slug(use.stage)}-{digest}" + (f"-{use.node}" if use.node else "")
    workspace.write(STAGE_USE.path(run=run, use=told), use.model_dump_json(indent=2).encode())


def read_use(workspace: Workspace, path: str) -> StageUse | None:
    """A use by its path; None of another version."""
    try:
        return StageUse.model_validate_json(workspace.read(path))
    except ValidationError:
        return None


def file_of_last_run(workspace: Workspace, name: str, stage: str, field: str) -> FileReference | None:
    """The file in a field of the record that the newest run of this data set had of a stage; runs are named by time."""
    begins = f"{_slug(stage)}-"
    uses = [
        path
        for path in workspace.list(RUN_FILE.folder())
        if run_of_use(path) is not None and path.rpartition("/")[2].startswith(begins)
    ]
    for path in sorted(uses, reverse=True):
        use = read_use(workspace, path)
        if use is None or (use.name, use.stage.split(" ")[0]) != (name, stage):
            continue
        result = read_result(workspace, use.entry)
        for file in references_in(result.record.get(field)) if result else ():
            if workspace.exists(file.path):
                return file
    return None


def _slug(stage: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "-", stage.lower()).strip("-")


def _folders_in(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        own = [str(value["path"])] if "path" in value and "sha256" not in value else []
        return own + [folder for item in value.values() for folder in _folders_in(item)]
    if isinstance(value, list):
        return [folder for item in value for folder in _folders_in(item)]
    return []
