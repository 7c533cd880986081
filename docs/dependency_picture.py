"""Draws which package imports which into docs/architecture.md, from the imports themselves.

    make docs                                    draw it again
    python docs/dependency_picture.py --print    only show it

A box is a folder; the stages of `tasks` are one box, and the two files below everything are one each. An arrow leads
from who imports to who is imported. One that a longer way says too is left out, so that the order can be seen: whatever
a box reaches by arrows it may use. Every import counts, those inside functions and those for types alone too. Where
boxes import one another in a circle there is no order to draw, and the program says which imports make it.
"""

import argparse
import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parent.parent
PAGE: Final = REPOSITORY / "docs" / "architecture.md"
BEGIN: Final = "<!-- drawn by docs/dependency_picture.py -->"
END: Final = "<!-- end of the drawing -->"
ROOTS: Final = ("deployments", "flows", "tasks")
OF_THEIR_OWN: Final = ("tasks.errors", "tasks.record")
MACHINERY: Final = ("tasks.compute", "tasks.engine", "tasks.server")

Graph = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Import:
    """One line that imports: where it stands, and what it names."""

    module: str
    line: int
    imported: str


def modules(root: Path = REPOSITORY) -> dict[str, Path]:
    """Every module of the three packages by its dotted name."""
    found = {}
    for package in ROOTS:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def box_of(module: str, path: Path) -> str:
    """The box that a module stands in."""
    if module in OF_THEIR_OWN or path.name == "__init__.py":
        return module
    return module.rpartition(".")[0]


def imports(known: Mapping[str, Path]) -> Iterator[Import]:
    """Every import of one of these modules by another, in order."""
    for module, path in known.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                names = [
                    full if (full := f"{node.module}.{alias.name}") in known else node.module
                    for alias in node.names
                ]
            else:
                continue
            yield from (Import(module, node.lineno, name) for name in dict.fromkeys(names) if name in known)


def dependencies(known: Mapping[str, Path]) -> dict[str, frozenset[str]]:
    """For each box, the boxes that it imports from."""
    found: dict[str, set[str]] = {box_of(module, path): set() for module, path in known.items()}
    for one in imports(known):
        box, other = (box_of(name, known[name]) for name in (one.module, one.imported))
        if box != other:
            found[box].add(other)
    return {box: frozenset(others) for box, others in sorted(found.items())}


def reached(graph: Graph, box: str) -> frozenset[str]:
    """All that a box leads to, over any number of arrows."""
    seen: set[str] = set()
    waiting = [box]
    while waiting:
        for other in graph[waiting.pop()] - seen:
            seen.add(other)
            waiting.append(other)
    return frozenset(seen)


def circles(graph: Graph, known: Mapping[str, Path]) -> list[str]:
    """The arrows by which boxes lead back to themselves, each with its first import and how many there are."""
    ways = {box: reached(graph, box) for box in graph}
    arrows: dict[tuple[str, str], list[Import]] = {}
    for one in imports(known):
        box, other = (box_of(name, known[name]) for name in (one.module, one.imported))
        if box != other and box in ways[other]:
            arrows.setdefault((box, other), []).append(one)
    return [
        f"{box} -> {other}: {known[some[0].module].relative_to(REPOSITORY)}:{some[0].line} and {len(some) - 1} more"
        for (box, other), some in sorted(arrows.items())
    ]


def without_detours(graph: Graph) -> dict[str, frozenset[str]]:
    """The arrows that no longer way says too; of a graph without circles."""
    ways = {box: reached(graph, box) for box in graph}
    return {
        box: frozenset(one for one in others if not any(one in ways[other] for other in others))
        for box, others in graph.items()
    }


def floors(graph: Graph) -> dict[str, int]:
    """How far above the ground each box stands: one more than the highest that it imports from."""
    heights: dict[str, int] = {}

    def height(box: str) -> int:
        if box not in heights:
            heights[box] = 1 + max((height(other) for other in graph[box]), default=-1)
        return heights[box]

    return {box: height(box) for box in graph}


def drawn(graph: Graph) -> str:
    """The picture in Mermaid, highest floor first."""
    heights, arrows = floors(graph), without_detours(graph)
    order = sorted(graph, key=lambda box: (-heights[box], box))
    boxes = [f'{_key(box)}["{_label(box)}"]{":::machinery" if box in MACHINERY else ""}' for box in order]
    lines = [f"{_key(box)} --> {_key(other)}" for box in order for other in order if other in arrows[box]]
    style = "classDef machinery stroke-dasharray: 4 3"
    return "\n".join(
        ["```mermaid", "flowchart TB", *(f"    {line}" for line in [*boxes, *lines, style]), "```"]
    )


def _key(box: str) -> str:
    return box.replace(".", "_")


def _label(box: str) -> str:
    if box == "tasks":
        return "tasks/*.py, the stages"
    return box.replace(".", "/") + (".py" if box in OF_THEIR_OWN else "")


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--print", action="store_true", help="only show the picture")
    options = parser.parse_args()
    known = modules()
    graph = dependencies(known)
    told = circles(graph, known)
    if told:
        sys.exit(
            "\n".join(["there is no order to draw: these imports lead back to where they come from", *told])
        )
    picture = drawn(graph)
    if options.print:
        sys.stdout.write(f"{picture}\n")
        return
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{picture}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
