"""The last lines of a pipeline's run: what became of each node, figures, and where everything is."""

from rich.console import Console
from rich.table import Table

from flows.pipeline.result import NodeResult, PipelineResult
from tasks.evaluation.intervals import Estimate
from tasks.evaluation.words import with_interval

STYLES = {"reused": "dim", "failed": "red", "not reached": "yellow", "left out": "dim"}
FIGURES = ("recall", "specificity", "auc")
SHOWN = ("verdict", "version", "champion", "report", "bundle")


def show_run(console: Console, result: PipelineResult) -> None:
    """States, seconds and figures by node; problems below."""
    table = Table("node", "state", "seconds", "", title=result.pipeline, title_justify="left")
    for node in result.nodes:
        table.add_row(
            node.node,
            f"[{STYLES.get(node.state, 'green')}]{node.state}[/]",
            f"{node.seconds:.1f}",
            _figures(node),
        )
    console.print(table)
    for node in result.nodes:
        if node.problem is not None:
            console.print(f"{node.node}: {node.problem}", style="yellow", highlight=False, markup=False)
        for row in (node.told or {}).get("confusion_matrix", []):
            console.print(f"  {node.node}: {row}", highlight=False, markup=False)


def _figures(node: NodeResult) -> str:
    told = node.told or {}
    figures = [
        f"{name} {with_interval(Estimate.model_validate(told[name]))}" for name in FIGURES if told.get(name)
    ]
    return "; ".join(figures + [f"{name} {told[name]}" for name in SHOWN if told.get(name)])
