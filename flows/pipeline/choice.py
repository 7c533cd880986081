"""Which part of a pipeline runs, and what of it runs again though nothing changed."""

from difflib import get_close_matches

from pydantic import Field

from tasks.errors import PipelineError
from tasks.pipeline.document import Document
from tasks.pipeline.graph import after, before
from tasks.record import Frozen, NodeName


class Part(Frozen):
    """How far a run goes. Everything, where nothing is said."""

    until: NodeName | None = Field(default=None, description="Run this node and what it needs, no more.")
    start: NodeName | None = Field(
        default=None, description="Run this node, what follows from it and what these need, no more."
    )
    force_from: NodeName | None = Field(
        default=None, description="Run this node and what follows from it again, though nothing changed."
    )

    def chosen(self, document: Document) -> frozenset[str]:
        """The nodes that run.

        Raises: PipelineError of a node that there is not, or when none is left.
        """
        nodes = frozenset(document.nodes)
        if self.until is not None:
            nodes &= before(document, [_known(document, self.until)])
        if self.start is not None:
            nodes &= before(document, after(document, [_known(document, self.start)]))
            if self.start not in nodes:
                raise PipelineError(
                    f"nothing leads from {self.start} to {self.until}", cure="name two nodes of one way"
                )
        return nodes

    def forced(self, document: Document) -> frozenset[str]:
        """The nodes whose stages run again.

        Raises: PipelineError of a node that there is not.
        """
        return after(document, [_known(document, self.force_from)]) if self.force_from else frozenset()


def _known(document: Document, node: str) -> str:
    if node not in document.nodes:
        near = get_close_matches(node, list(document.nodes), n=1)
        cure = f"did you mean {near[0]}?" if near else f"its nodes are: {', '.join(document.nodes)}"
        raise PipelineError(f"{document.name} has no node {node}", cure=cure)
    return node
