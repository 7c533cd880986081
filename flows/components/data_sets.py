"""Data sets that have a file of their own: by their names, a pipeline finds where the images are."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from pydantic import ConfigDict, Field, ValidationError

from flows.config import DataSet
from tasks.data.settings import ImagesSource
from tasks.errors import ConfigError, PipelineError
from tasks.pipeline.check import Problem
from tasks.pipeline.document import Document
from tasks.pipeline.text import read_text
from tasks.record import Frozen

KIND: Final = "data_set"
"""The component that names a data set."""


class DataSetPlace(Frozen):
    """What a pipeline needs to know of a data set's file; the rest of it is the main job's."""

    model_config = ConfigDict(extra="ignore")

    dataset: DataSet = Field(description="What the images are about.")
    images: ImagesSource = Field(description="Where the images are.")


DataSets = Mapping[str, DataSetPlace]


def read_data_sets(folder: Path | None) -> DataSets:
    """The data sets of a folder by name; none where no folder is named.

    Raises: ConfigError naming the folder that is missing, or the file and field that are wrong.
    """
    if folder is None:
        return {}
    if not folder.is_dir():
        raise ConfigError(
            f"there is no folder {folder}", cure="name a folder of data-set files with --data-sets"
        )
    found = (_read(path) for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]))
    return {place.dataset.name: place for place in found}


def unknown_data_sets(document: Document, data_sets: DataSets) -> tuple[Problem, ...]:
    """A problem for each node that names a data set of which nobody says where its images are."""
    return tuple(
        _unknown(name, str(node.settings["name"]), data_sets)
        for name, node in document.nodes.items()
        if node.kind == KIND
        and isinstance(node.settings.get("name"), str)
        and node.settings.get("images") is None
        and node.settings["name"] not in data_sets
    )


def with_data_sets(document: Document, data_sets: DataSets) -> Document:
    """The document with what the files say of its data sets; what a node says itself counts more."""
    for name, node in document.nodes.items():
        place = data_sets.get(str(node.settings.get("name"))) if node.kind == KIND else None
        if place is not None and node.settings.get("images") is None:
            said = {**place.dataset.model_dump(mode="json"), "images": place.images.model_dump(mode="json")}
            own = {key: value for key, value in node.settings.items() if value is not None}
            document = document.with_settings(name, {**said, **own})
    return document


def swapped(document: Document, data_set: str) -> Document:
    """The document on another data set.

    Raises: PipelineError when it has not exactly one data-set node.
    """
    nodes = [name for name, node in document.nodes.items() if node.kind == KIND]
    if len(nodes) != 1:
        raise PipelineError(
            f"{document.name} has {len(nodes)} nodes that name a data set: which of them is meant is not known",
            cure="change the document itself, and leave out --data-set",
        )
    return document.with_settings(nodes[0], {"name": data_set})


def _unknown(node: str, name: str, data_sets: DataSets) -> Problem:
    near = get_close_matches(name, list(data_sets), n=1)
    known = (
        f"did you mean {near[0]}? Known are: {', '.join(data_sets)}" if data_sets else "no files are known"
    )
    return Problem(
        node=node,
        place="set.name",
        what=f"there is no data set {name}",
        cure=f"{known}. Name the folder of its file with --data-sets, or say in the node where the images are, "
        "such as images: {url: /data/scans}",
    )


def _read(path: Path) -> DataSetPlace:
    try:
        return DataSetPlace.model_validate(read_text(path.read_text(encoding="utf-8"), str(path)))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(f"{path}: {field}: {first['msg']}", cure="correct the field") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}", cure="look at the file and its permissions"
        ) from error
