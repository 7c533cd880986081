"""What differs between two documents, by meaning: nodes, components, wires, settings; where blocks stand apart."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, JsonValue

from tasks.pipeline.document import Document, Node
from tasks.record import Frozen

What = Literal["added", "removed", "component", "wire", "setting", "words", "moved"]


class Difference(Frozen):
    """One thing that is otherwise."""

    node: str | None = Field(description="The node; None of the whole document.")
    what: What = Field(description="Which kind of thing. words and moved change nothing that runs.")
    place: str | None = Field(default=None, description="The input, setting or word.")
    before: JsonValue = Field(default=None, description="What it was; null where it was not said.")
    after: JsonValue = Field(default=None, description="What it is; null where it is not said.")

    def __str__(self) -> str:
        if self.what in {"added", "removed"}:
            return f"{self.node} {self.what}: {self.after or self.before}"
        if self.what == "moved":
            return f"{self.node} moved"
        place = f"{self.node}.{self.place}" if self.node else str(self.place)
        return f"{place}: {_told(self.before)} -> {_told(self.after)}"


def differences(before: Document, after: Document) -> tuple[Difference, ...]:
    """All of them; compare tidied documents, or what equals a default shows up."""
    return tuple(_differences(before, after))


def _differences(before: Document, after: Document) -> Iterator[Difference]:
    for word in ("title", "note"):
        yield from _otherwise(None, "words", word, getattr(before, word), getattr(after, word))
    for name, node in before.nodes.items():
        if name not in after.nodes:
            yield Difference(node=name, what="removed", before=node.component)
    for name, node in after.nodes.items():
        if name not in before.nodes:
            yield Difference(node=name, what="added", after=node.component)
        else:
            yield from _of_node(name, before.nodes[name], node)
    for name, place in after.layout.items():
        if name in before.layout and name in after.nodes and before.layout[name] != place:
            yield Difference(node=name, what="moved", before=list(before.layout[name]), after=list(place))


def _of_node(name: str, before: Node, after: Node) -> Iterator[Difference]:
    yield from _otherwise(name, "component", "is", before.component, after.component)
    yield from _of_mappings(name, "wire", _wires(before), _wires(after))
    yield from _of_mappings(name, "setting", before.settings, after.settings)
    for word in ("title", "note"):
        yield from _otherwise(name, "words", word, getattr(before, word), getattr(after, word))


def _wires(node: Node) -> dict[str, JsonValue]:
    return {given: list(sources) for given, sources in node.inputs.items()}


def _of_mappings(
    name: str, what: What, before: dict[str, JsonValue], after: dict[str, JsonValue]
) -> Iterator[Difference]:
    for key in dict.fromkeys([*before, *after]):
        yield from _otherwise(name, what, key, before.get(key), after.get(key))


def _otherwise(
    node: str | None, what: What, place: str, before: JsonValue, after: JsonValue
) -> Iterator[Difference]:
    if before != after:
        yield Difference(node=node, what=what, place=place, before=before, after=after)


def _told(value: JsonValue) -> str:
    if value is None:
        return "not said"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
