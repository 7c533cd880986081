"""Which components lead from one type of port to another."""

from tasks.pipeline.component import Component, Components
from tasks.pipeline.ports import PortType


def components_between(given: PortType, wanted: PortType, components: Components) -> tuple[str, ...]:
    """The fewest components that make one type of another, by their references; empty where none do."""
    ways: dict[PortType, tuple[str, ...]] = {given: ()}
    waiting = [given]
    while waiting and wanted not in ways:
        here = waiting.pop(0)
        for ref, component in components.items():
            made = component.output
            if made is not None and made not in ways and _takes(component, here):
                ways[made] = (*ways[here], ref)
                waiting.append(made)
    return ways.get(wanted, ())


def _takes(component: Component, given: PortType) -> bool:
    return any(one.type == given and one.needed for one in component.inputs)
