"""A component: a closed block with typed ports and the form of its settings. What it does stands elsewhere, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, TypeVar, cast

from pydantic import JsonValue

from tasks.pipeline.ports import PortType
from tasks.record import Frozen

F = TypeVar("F", bound=Frozen)

TELLS_APART: Final = "kind"
"""The field by which the members of a union of forms are known: said even where it is the member's only value."""


class NoSettings(Frozen):
    """The form of a component without settings."""


@dataclass(frozen=True)
class Input:
    """What a component may be given.

    Attributes:
        name: As documents say it.
        type: What fits.
        words: What it is for.
        needed: Whether the component cannot be without it.
        replaces: Settings, and other inputs, that have no meaning where it is given.
    """

    name: str
    type: PortType
    words: str
    needed: bool = True
    replaces: tuple[str, ...] = ()


@dataclass(frozen=True)
class Component:
    """A block that people draw.

    Attributes:
        name: As documents say it.
        group: Heading on the palette.
        title: What people read.
        words: What it does, in a sentence.
        does: `module:function` that does it; imported when it is needed.
        azure: What the Designer calls it, if it has such a block.
        output: What it gives; None where nothing goes on from it.
        inputs: What it is given.
        settings: The form of its settings.
        elsewhere: Fields of the form that are not settings of it, with where they are set instead.
        stages: The stages that it runs, by the first word of their names.
        agree: By type of port: the inputs that must stand on the very same one.
        names_model: Whether its setting `name` names the model of all that follows.
        once_a_model: Whether a pipeline may do it once a model only.
        version: Raised when it means something else.
    """

    name: str
    group: str
    title: str
    words: str
    does: str
    azure: str | None = None
    output: PortType | None = None
    inputs: tuple[Input, ...] = ()
    settings: type[Frozen] = NoSettings
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    stages: tuple[str, ...] = ()
    agree: Mapping[PortType, tuple[str, ...]] = field(default_factory=dict)
    names_model: bool = False
    once_a_model: bool = False
    version: int = 1

    @property
    def ref(self) -> str:
        """As a node names it."""
        return f"{self.name}@{self.version}"

    def input(self, name: str) -> Input | None:
        """An input by its name."""
        return next((one for one in self.inputs if one.name == name), None)

    def form(self, settings: Mapping[str, JsonValue]) -> Frozen:
        """The settings as their form.

        Raises: ValidationError.
        """
        return self.settings.model_validate(dict(settings))

    def function(self) -> Callable[..., Any]:
        """What it does: takes where it runs, its settings and, by name, its inputs."""
        module, _, name = self.does.partition(":")
        return cast("Callable[..., Any]", getattr(import_module(module), name))


Components = Mapping[str, Component]
"""All components by their references, such as train@1."""


def part(settings: Frozen, form: type[F]) -> F:
    """The fields of another form that some settings have."""
    return form.model_validate(settings.model_dump(include=set(form.model_fields)))
