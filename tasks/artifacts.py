"""What the Prefect UI shows of a run beside its graph: a summary, the confusion matrix and the report's link."""

from tasks.decide import Verdict
from tasks.evaluation.intervals import Estimate
from tasks.evaluation.metrics import Evaluation
from tasks.run import Run

FIGURES = ("recall", "specificity", "precision", "f1", "auc", "balanced_accuracy", "brier")


def publish_artifacts(run: Run, evaluation: Evaluation, verdict: Verdict, report_uri: str) -> None:
    """Create the artifacts in the active flow run."""
    from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

    key = run.name.replace("_", "-")
    create_markdown_artifact(
        summary_markdown(run, evaluation, verdict, report_uri), key=f"{key}-summary", description="Summary"
    )
    create_table_artifact(
        confusion_rows(evaluation),
        key=f"{key}-confusion-matrix",
        description="Rows: truth. Columns: prediction.",
    )
    if report_uri.startswith(("http://", "https://")):
        create_link_artifact(
            report_uri, link_text="Report", key=f"{key}-report", description="The full report"
        )


def summary_markdown(run: Run, evaluation: Evaluation, verdict: Verdict, report_uri: str) -> str:
    """The run in one screen of Markdown."""
    lines = [
        f"# {run.name}: {verdict.decision.verdict}",
        "",
        f"{evaluation.n} images in {evaluation.n_groups} independent groups, {evaluation.protocol.replace('_', '-')}; "
        f"figures of {evaluation.figures_of}.",
        "",
        "| figure | value | 95 % interval | n |",
        "|---|---|---|---|",
        *(_row(name, getattr(evaluation, name)) for name in FIGURES),
        "",
        "## Decision",
        "",
        *(f"- {reason}" for reason in verdict.decision.reasons),
        "",
        f"Report: `{report_uri}`",
    ]
    return "\n".join(lines)


def confusion_rows(evaluation: Evaluation) -> list[dict[str, str | int]]:
    """One row a true class, one column a predicted class."""
    return [
        {"truth": truth, **dict(zip(evaluation.classes, counts, strict=True))}
        for truth, counts in zip(evaluation.classes, evaluation.confusion_matrix, strict=True)
    ]


def _row(name: str, figure: Estimate) -> str:
    value = "–" if figure.value is None else f"{figure.value:.3f}"
    interval = "–" if figure.lower is None else f"{figure.lower:.3f} to {figure.upper:.3f}"
    return f"| {name.replace('_', ' ')} | {value} | {interval} | {figure.n} |"
