"""What a run of a pipeline came to, node by node."""

from typing import Any, Literal

from pydantic import Field

from tasks.engine.stage import StageTiming
from tasks.record import Frozen

NodeState = Literal["done", "reused", "failed", "not reached", "left out"]


class NodeResult(Frozen):
    """What became of one node."""

    node: str = Field(description="The node.")
    component: str = Field(description="Its component and version.")
    state: NodeState = Field(
        description="reused: every stage's earlier result was taken. not reached: a node before it failed. left out: "
        "the run was not to go there."
    )
    seconds: float = Field(default=0.0, ge=0, description="Wall-clock seconds.")
    stages: tuple[StageTiming, ...] = Field(default=(), description="Its stages in this run.")
    told: dict[str, Any] | None = Field(
        default=None, description="What came of it, in figures and addresses."
    )
    problem: str | None = Field(default=None, description="What went wrong, or which node before it failed.")
    cure: str | None = Field(default=None, description="What to do.")


class PipelineResult(Frozen):
    """A run's outcome."""

    pipeline: str = Field(description="Name of the pipeline.")
    digest: str = Field(description="SHA-256 of what the document means, with all that its defaults say.")
    runs: dict[str, str] = Field(
        description="The runs by data set or model, each with the document beside it."
    )
    nodes: tuple[NodeResult, ...] = Field(description="In the order in which they could run.")
    seconds: float = Field(ge=0, description="Wall-clock seconds.")

    @property
    def failed(self) -> tuple[NodeResult, ...]:
        """The nodes that went wrong by themselves."""
        return tuple(node for node in self.nodes if node.state == "failed")
