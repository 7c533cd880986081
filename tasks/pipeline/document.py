"""A pipeline as a document: nodes that people name, what each is given, and the settings that are not the defaults."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, JsonValue, ValidationError, field_validator, model_serializer
from pydantic_core import ErrorDetails

from tasks.errors import PipelineError
from tasks.pipeline.text import Lines, read_text, write_text
from tasks.record import Frozen, NodeName, digest_of

FORMAT: Final = 1
"""Version of the format of documents that is written."""
MOST_NODES: Final = 200

ComponentRef = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*@[1-9][0-9]{0,3}$", max_length=80)]
"""A component with its version, such as train@1."""
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
"""Of an input, or of a setting."""


class Node(Frozen):
    """One block of the graph."""

    component: ComponentRef = Field(alias="is", description="The component and its version, such as train@1.")
    inputs: dict[Name, tuple[NodeName, ...]] = Field(
        default={},
        alias="from",
        description="By input: the node whose output it is given, or several in a list.",
    )
    settings: dict[Name, JsonValue] = Field(
        default={}, alias="set", description="Settings that differ from the component's defaults."
    )
    title: str | None = Field(default=None, max_length=120, description="What people read instead of the id.")
    note: str | None = Field(default=None, max_length=2000, description="Whatever people want to say of it.")

    @field_validator("inputs", mode="before")
    @classmethod
    def _one_needs_no_list(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {name: (source,) if isinstance(source, str) else source for name, source in given.items()}

    @field_validator("settings")
    @classmethod
    def _finite(cls, given: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if not all(_is_finite(value) for value in given.values()):
            raise ValueError("a number is not finite")
        return given

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        """Without what is empty; a single source stands alone."""
        sources = {name: given[0] if len(given) == 1 else list(given) for name, given in self.inputs.items()}
        said = {
            "is": self.component,
            "from": sources,
            "set": self.settings,
            "title": self.title,
            "note": self.note,
        }
        return {name: value for name, value in said.items() if value}

    @property
    def kind(self) -> str:
        """The component without its version."""
        return self.component.partition("@")[0]

    @property
    def version(self) -> int:
        """The component's version."""
        return int(self.component.partition("@")[2])


class Document(Frozen):
    """A pipeline."""

    lightbox_pipeline: Literal[1] = Field(description="Version of this format.")
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")] = Field(
        description="Name of the pipeline: lower-case letters, digits, - and _."
    )
    title: str | None = Field(
        default=None, max_length=120, description="What people read instead of the name."
    )
    note: str | None = Field(default=None, max_length=4000, description="Whatever people want to say of it.")
    nodes: dict[NodeName, Node] = Field(
        default={}, max_length=MOST_NODES, description="The blocks by their ids."
    )
    layout: dict[NodeName, tuple[int, int]] = Field(
        default={},
        max_length=MOST_NODES,
        description="Where a block stands on the canvas, in pixels: right, down.",
    )

    @classmethod
    def read(cls, text: str, called: str = "the document") -> Self:
        """From YAML.

        Raises: PipelineError that names the node, the key and the cure.
        """
        values = read_text(text, called)
        if not isinstance(values, dict):
            raise PipelineError(
                f"{called} says nothing", cure="a pipeline begins with `lightbox_pipeline: 1`"
            )
        _check_format(values.get("lightbox_pipeline"), called)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise _refused(error.errors(include_url=False)[0], called) from error

    def write(self) -> str:
        """As YAML: what is empty is left out, the layout stands last and only for nodes that there are."""
        values = self.model_dump(mode="json", exclude={"layout", "nodes"}, exclude_none=True)
        nodes = {name: Lines(node.model_dump(mode="json")) for name, node in self.nodes.items()}
        layout = {name: list(place) for name, place in self.layout.items() if name in self.nodes}
        return write_text(values | {"nodes": Lines(nodes)} | ({"layout": Lines(layout)} if layout else {}))

    @property
    def digest(self) -> str:
        """SHA-256 of what it means: not of names and words for people, nor of where blocks stand."""
        meaning = {
            name: node.model_dump(mode="json") | {"title": None, "note": None}
            for name, node in self.nodes.items()
        }
        return digest_of({"lightbox_pipeline": self.lightbox_pipeline, "nodes": meaning})

    def with_settings(self, node: str, settings: Mapping[str, JsonValue]) -> Self:
        """The same with other settings of one node."""
        changed = self.nodes[node].model_copy(update={"settings": dict(settings)})
        return self.model_copy(update={"nodes": {**self.nodes, node: changed}})


def _is_finite(value: JsonValue) -> bool:
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _check_format(said: object, called: str) -> None:
    if isinstance(said, int) and not isinstance(said, bool) and said > FORMAT:
        raise PipelineError(
            f"{called} is of format {said}, this Lightbox reads formats up to {FORMAT}",
            cure="open it with the Lightbox that wrote it, or with a newer one",
        )
    if said != FORMAT or isinstance(said, bool):
        raise PipelineError(
            f"{called} does not say of which format it is",
            cure=f"begin it with `lightbox_pipeline: {FORMAT}`",
        )


def _refused(problem: ErrorDetails, called: str) -> PipelineError:
    """The first thing that is wrong, at its place as a person reads it: node, key, what was expected."""
    place = [str(part) for part in problem["loc"] if part != "[key]"]
    if place[:1] == ["nodes"] and len(place) > 1:
        where = f"node {place[1]}" + (f": {'.'.join(place[2:])}" if place[2:] else "")
    else:
        where = ".".join(place) or "the document"
    cure = "correct or leave it out"
    if isinstance(problem.get("input"), bool):
        cure = "in YAML a bare yes, no, on or off is a truth value: put it in quotes"
    elif problem["type"] == "extra_forbidden":
        known = Node if place[:1] == ["nodes"] else Document
        keys = ", ".join(field.alias or name for name, field in known.model_fields.items())
        cure = f"leave it out: known here are {keys}"
    elif problem["type"] == "string_pattern_mismatch":
        cure = "use lower-case letters, digits, - and _; a component is written as train@1"
    return PipelineError(f"{called}: {where}: {problem['msg']}", cure=cure)
