"""The graph of a document: who stands before whom. Wires from nodes that do not exist are left to the check."""

from collections.abc import Iterable, Mapping

from tasks.pipeline.document import Document


def sources_of(document: Document) -> Mapping[str, tuple[str, ...]]:
    """The nodes that each node is given something by, each once."""
    return {
        name: tuple(
            dict.fromkeys(
                source for given in node.inputs.values() for source in given if source in document.nodes
            )
        )
        for name, node in document.nodes.items()
    }


def ordered(document: Document) -> tuple[str, ...]:
    """The nodes in an order in which each comes after its sources; those of a circle and behind it are left out.

    Of nodes that could come next the one that stands first in the document does.
    """
    sources, done = sources_of(document), dict[str, None]()
    waiting = list(document.nodes)
    while ready := next((name for name in waiting if all(source in done for source in sources[name])), None):
        done[ready] = None
        waiting.remove(ready)
    return tuple(done)


def circle(document: Document) -> tuple[str, ...]:
    """The nodes of a circle in the direction of the wires, from the one that stands first; empty without one."""
    sources, fine = sources_of(document), set(ordered(document))
    stuck = next((name for name in document.nodes if name not in fine), None)
    way: list[str] = []
    while stuck is not None and stuck not in way:
        way.append(stuck)
        stuck = next(source for source in sources[stuck] if source not in fine)
    if stuck is None:
        return ()
    found = way[way.index(stuck) :][::-1]
    first = found.index(next(name for name in document.nodes if name in found))
    return tuple(found[first:] + found[:first])


def before(document: Document, names: Iterable[str]) -> frozenset[str]:
    """These nodes and all that lead to them."""
    return _reached(names, sources_of(document))


def after(document: Document, names: Iterable[str]) -> frozenset[str]:
    """These nodes and all that they lead to."""
    targets: dict[str, list[str]] = {name: [] for name in document.nodes}
    for name, sources in sources_of(document).items():
        for source in sources:
            targets[source].append(name)
    return _reached(names, targets)


def _reached(names: Iterable[str], ways: Mapping[str, Iterable[str]]) -> frozenset[str]:
    reached: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(ways[name])
    return frozenset(reached)
