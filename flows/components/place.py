"""Where a component does its work: the run of what it is given, at the node's own place."""

from collections.abc import Callable
from dataclasses import dataclass

from tasks.engine.run import Run


@dataclass(frozen=True)
class Place:
    """A node's place in a run.

    Attributes:
        node: The node's id.
        force: Whether its stages run again though nothing changed.
        open: The run of a data set or model by its name.
    """

    node: str
    force: bool
    open: Callable[[str], Run]

    def at(self, run: Run) -> Run:
        """A run, for this node's work."""
        return run.at(self.node).model_copy(update={"force": run.force or self.force})
