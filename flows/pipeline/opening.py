"""From what a person names to a document that can run: a file, a template, a pipeline of the workspace."""

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from flows.components.data_sets import DataSets, swapped, unknown_data_sets, with_data_sets
from flows.components.registry import COMPONENTS
from flows.config import WorkspaceLocation
from flows.pipeline.result import PipelineResult
from tasks.errors import PipelineError
from tasks.pipeline.check import Problem, check, refuse
from tasks.pipeline.component import Component
from tasks.pipeline.defaults import resolved, tidied
from tasks.pipeline.document import Document
from tasks.pipeline.versions import Pipelines

TEMPLATES: Final = "deployments"
"""The package whose folder `pipelines` holds them."""
_KEPT: Final = re.compile(r"([a-z0-9][a-z0-9_-]*)(?:@([1-9][0-9]*))?")


def opened(name: str, workspace: WorkspaceLocation | None) -> Document:
    """A file where one is so called; else a pipeline of the workspace, such as NAME@3; else a template.

    Raises: PipelineError when there is none of that name, or it cannot be read.
    """
    if Path(name).suffix in {".yaml", ".yml"} or Path(name).is_file():
        return read_file(Path(name))
    kept = _KEPT.fullmatch(name)
    if kept is not None and workspace is not None:
        there = Pipelines(workspace.open())
        if kept[1] in there.names():
            return there.read(kept[1], int(kept[2]) if kept[2] else None)
    found = {document.name: document for document in templates()}
    if name not in found:
        where = "" if workspace is not None else ", or name the workspace that keeps it with --workspace"
        raise PipelineError(
            f"there is no pipeline {name}",
            cure=f"name a file, one of the templates {', '.join(found)}{where}",
        )
    return found[name]


def templates() -> Iterator[Document]:
    """All templates, by name."""
    folder = files(TEMPLATES) / "pipelines"
    for file in sorted(folder.iterdir(), key=lambda one: one.name):
        if file.name.endswith(".yaml"):
            yield Document.read(file.read_text(encoding="utf-8"), file.name)


def read_file(path: Path) -> Document:
    """A document of a file.

    Raises: PipelineError when it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path} cannot be read: {error}", cure="name a YAML file") from error
    return Document.read(text, str(path))


def all_problems(document: Document, data_sets: DataSets) -> tuple[Problem, ...]:
    """What the check says, and data sets that there are not."""
    return (*check(document, COMPONENTS), *unknown_data_sets(document, data_sets))


def ready(document: Document, data_sets: DataSets, data_set: str | None = None) -> Document:
    """The document as it runs: on another data set where one is named, checked, with every setting said.

    Raises: PipelineError with all of its problems.
    """
    meant = swapped(document, data_set) if data_set else document
    refuse(all_problems(meant, data_sets), document.name)
    return resolved(with_data_sets(tidied(meant, COMPONENTS), data_sets), COMPONENTS)


def require_success(result: PipelineResult) -> None:
    """Raises: PipelineError with what went wrong in each node."""
    if result.failed:
        told = "\n".join(f"- {node.node}: {node.problem}\n  cure: {node.cure}" for node in result.failed)
        raise PipelineError(
            f"{len(result.failed)} of {len(result.nodes)} nodes failed:\n{told}",
            cure="mend what is named above and run it again: what is done is not done twice",
        )


def described(component: Component) -> dict[str, Any]:
    """A component as other programs read it."""
    schema = component.settings.model_json_schema()
    for name in component.elsewhere:
        schema.get("properties", {}).pop(name, None)
    return {
        "is": component.ref,
        "group": component.group,
        "title": component.title,
        "words": component.words,
        "azure": component.azure,
        "inputs": [
            {
                "name": one.name,
                "type": one.type,
                "words": one.words,
                "needed": one.needed,
                "replaces": one.replaces,
            }
            for one in component.inputs
        ],
        "output": component.output,
        "stages": component.stages,
        "settings": schema,
    }
