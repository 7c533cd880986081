"""A document without what its components say anyway, and one with all of it."""

from typing import Any

from pydantic import JsonValue, ValidationError
from pydantic_core import to_jsonable_python

from tasks.pipeline.component import TELLS_APART, Components
from tasks.pipeline.document import Document, Node
from tasks.record import Frozen


def tidied(document: Document, components: Components) -> Document:
    """The document as it is kept: what equals a default is left out, so that one meaning is written one way."""
    return document.model_copy(
        update={"nodes": {name: _tidied(node, components) for name, node in document.nodes.items()}}
    )


def resolved(document: Document, components: Components) -> Document:
    """The document as a run keeps it: every setting is said, so that it can be read when defaults have changed.

    Raises: ValidationError of settings that their form refuses.
    """
    return document.model_copy(
        update={"nodes": {name: _resolved(node, components) for name, node in document.nodes.items()}}
    )


def _tidied(node: Node, components: Components) -> Node:
    component = components.get(node.component)
    if component is None:  # nobody knows its defaults: it keeps its settings
        return node
    try:
        kept = _differing(component.form(node.settings))
    except ValidationError:  # a draft
        return node
    return node.model_copy(update={"settings": kept})


def _differing(form: Frozen) -> dict[str, JsonValue]:
    """The fields whose value is not the default of the form that they stand in."""
    fields = type(form).model_fields
    return {
        name: _plain(value)
        for name, value in form
        if name == TELLS_APART
        or fields[name].is_required()
        or value != fields[name].get_default(call_default_factory=True)
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Frozen):
        return _differing(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return to_jsonable_python(value)


def _resolved(node: Node, components: Components) -> Node:
    component = components.get(node.component)
    if component is None:
        return node
    said = component.form(node.settings).model_dump(mode="json", exclude=set(component.elsewhere))
    return node.model_copy(update={"settings": said})
