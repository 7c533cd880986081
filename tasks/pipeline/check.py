"""Check a document before anything runs. Each problem names its node, its place, what is wrong and what to do."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final

from pydantic import Field

from tasks.errors import PipelineError
from tasks.pipeline.component import Component, Components, Input
from tasks.pipeline.document import Document, Node
from tasks.pipeline.graph import before, circle
from tasks.pipeline.ports import PortType, reason
from tasks.pipeline.settings_check import refused_settings
from tasks.pipeline.way import components_between
from tasks.record import Frozen

MOST_TOLD: Final = 20
"""Problems that one message names."""


class Problem(Frozen):
    """What keeps a document from running."""

    node: str | None = Field(description="The node; None of the whole document.")
    place: str | None = Field(description="Such as `from.folds` or `set.epochs`; None of the whole node.")
    what: str = Field(description="What is wrong.")
    cure: str = Field(description="What to do.")
    insert: tuple[str, ...] = Field(
        default=(), description="Components that are missing between, in the direction of the wire."
    )

    def __str__(self) -> str:
        where = ": ".join(part for part in (self.node, self.place) if part)
        return f"{where}: {self.what}\n  cure: {self.cure}" if where else f"{self.what}\n  cure: {self.cure}"


def check(document: Document, components: Components) -> tuple[Problem, ...]:
    """All problems of a document, in the order of its nodes; none of one that can run."""
    return tuple(_problems(document, components))


def refuse(problems: tuple[Problem, ...], called: str) -> None:
    """Raises: PipelineError with all of them, when there are any."""
    if problems:
        shown = "\n".join(f"- {problem}" for problem in problems[:MOST_TOLD])
        more = len(problems) - MOST_TOLD
        raise PipelineError(
            f"{called} cannot run:\n{shown}" + (f"\n- and {more} more" if more > 0 else ""),
            cure="mend what is named above; `lightbox pipeline check` says the same without running anything",
        )


def _problems(document: Document, components: Components) -> Iterator[Problem]:
    if not document.nodes:
        yield Problem(node=None, place=None, what="there is no node", cure="begin with a Data set")
    for name, node in document.nodes.items():
        component = components.get(node.component)
        if component is None:
            yield _unknown(name, node, components)
            continue
        for place, what, cure in refused_settings(component, node.settings):
            yield Problem(node=name, place=place, what=what, cure=cure)
        yield from _wires(document, components, name, component)
        yield from _replaced(name, node, component)
    yield from _circles(document)
    yield from _disagreements(document, components)
    yield from _twice(document, components)


def _unknown(name: str, node: Node, components: Components) -> Problem:
    versions = sorted(one.version for one in components.values() if one.name == node.kind)
    if versions:
        newest = versions[-1]
        newer = node.version > newest
        cure = (
            f"use {node.kind}@{newest}, or the Lightbox that the document was drawn with"
            if newer
            else f"use {node.kind}@{newest} and look at its settings"
        )
        what = f"version {node.version} of {node.kind} is not known here: the newest is {newest}"
        return Problem(node=name, place="is", what=what, cure=cure)
    near = get_close_matches(node.kind, [one.name for one in components.values()], n=1)
    cure = f"did you mean {near[0]}?" if near else "use one that `lightbox pipeline components` lists"
    return Problem(node=name, place="is", what=f"there is no component {node.kind}", cure=cure)


def _wires(document: Document, components: Components, name: str, component: Component) -> Iterator[Problem]:
    node = document.nodes[name]
    for given, sources in node.inputs.items():
        wanted = component.input(given)
        if wanted is None:
            known = ", ".join(one.name for one in component.inputs) or "none"
            yield _at(name, given, f"{component.name} has no input {given}", f"its inputs are: {known}")
            continue
        if len(sources) != 1:
            yield _at(name, given, f"{len(sources)} nodes are wired to it, it takes one", "leave one")
        for source in sources:
            yield from _wire(document, components, name, wanted, source)
    for wanted in component.inputs:
        if wanted.needed and wanted.name not in node.inputs:
            yield _missing(document, components, name, wanted)


def _wire(
    document: Document, components: Components, name: str, wanted: Input, source: str
) -> Iterator[Problem]:
    if source not in document.nodes:
        near = get_close_matches(source, list(document.nodes), n=1)
        cure = f"did you mean {near[0]}?" if near else "wire it to a node of the document"
        yield _at(name, wanted.name, f"there is no node {source}", cure)
        return
    giver = components.get(document.nodes[source].component)
    if giver is None or giver.output == wanted.type:
        return
    if giver.output is None:
        fitting = _giving(components, wanted.type)
        yield _at(name, wanted.name, f"nothing goes on from {source}", f"wire it to one of {fitting}")
        return
    between = components_between(giver.output, wanted.type, components)
    titles = [components[ref].title for ref in between]
    cure = (
        f"put {' and '.join(titles)} between"
        if titles
        else f"wire it to one that gives {wanted.type}: {_giving(components, wanted.type)}"
    )
    what = f"{source} gives {giver.output}, {wanted.type} is wanted. {reason(giver.output, wanted.type)}"
    yield _at(name, wanted.name, what, cure, between)


def _missing(document: Document, components: Components, name: str, wanted: Input) -> Problem:
    here = [
        other
        for other, node in document.nodes.items()
        if (giver := components.get(node.component)) is not None and giver.output == wanted.type
    ]
    cure = f"wire it to {' or '.join(here)}" if here else f"add one of {_giving(components, wanted.type)}"
    return _at(name, wanted.name, f"it is not wired: {wanted.words}", cure)


def _giving(components: Components, wanted: PortType) -> str:
    return ", ".join(one.name for one in components.values() if one.output == wanted)


def _replaced(name: str, node: Node, component: Component) -> Iterator[Problem]:
    for one in component.inputs:
        if one.name in node.inputs:
            for other in one.replaces:
                place = "from" if other in node.inputs else "set"
                if other in node.inputs or other in node.settings:
                    yield Problem(
                        node=name,
                        place=f"{place}.{other}",
                        what=f"it has no meaning where {one.name} is wired, which says it already",
                        cure=f"leave out {other}, or the wire to {one.name}",
                    )


def _circles(document: Document) -> Iterator[Problem]:
    way = circle(document)
    if way:
        yield Problem(
            node=way[0],
            place=None,
            what=f"its own output leads back to it: {' -> '.join((*way, way[0]))}",
            cure="take out one of these wires",
        )


def _disagreements(document: Document, components: Components) -> Iterator[Problem]:
    """Inputs of one node that stand on different folds, evaluations and the like."""
    for name, node in document.nodes.items():
        component = components.get(node.component)
        for kind, inputs in component.agree.items() if component else ():
            said = {
                given: _origins(document, components, sources, kind)
                for given, sources in node.inputs.items()
                if given in inputs
            }
            if len(set(said.values())) > 1:
                told = ", ".join(
                    f"{given} on {' and '.join(sorted(on)) or 'none'}" for given, on in said.items()
                )
                yield Problem(
                    node=name,
                    place=None,
                    what=f"its inputs do not stand on the same {kind}: {told}",
                    cure=f"wire all of them to what follows from one {kind}",
                )


def _origins(
    document: Document, components: Components, sources: tuple[str, ...], kind: PortType
) -> frozenset[str]:
    """The nodes with this type of output that some sources stand on."""
    known = [source for source in sources if source in document.nodes]
    return frozenset(
        other for other in before(document, known) if _output(document, components, other) == kind
    )


def _output(document: Document, components: Components, name: str) -> PortType | None:
    component = components.get(document.nodes[name].component)
    return component.output if component else None


def _twice(document: Document, components: Components) -> Iterator[Problem]:
    """A second promotion of one model: the later would undo the earlier."""
    first: dict[tuple[str, str], str] = {}
    for name, node in document.nodes.items():
        component = components.get(node.component)
        if component is not None and component.once_a_model:
            for model in sorted(_models(document, components, name)):
                earlier = first.setdefault((component.name, model), name)
                if earlier != name:
                    yield Problem(
                        node=name,
                        place=None,
                        what=f"{earlier} does the same for the model {model}: which of them counted would be chance",
                        cure=f"keep one {component.title} for the model",
                    )


def _models(document: Document, components: Components, name: str) -> frozenset[str]:
    """The names of the models that a node is about."""
    above = [document.nodes[other] for other in before(document, [name])]
    return frozenset(
        str(node.settings["name"])
        for node in above
        if (component := components.get(node.component)) is not None
        and component.names_model
        and "name" in node.settings
    )


def _at(node: str, given: str, what: str, cure: str, insert: tuple[str, ...] = ()) -> Problem:
    return Problem(node=node, place=f"from.{given}", what=what, cure=cure, insert=insert)
