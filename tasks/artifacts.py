"""What the Prefect UI shows of a run beside its graph: a summary, the confusion matrix and the report's link."""

from tasks.audit import AuditFindings
from tasks.automl.chosen import SearchResult
from tasks.decide import Verdict
from tasks.engine.run import Run
from tasks.evaluation.intervals import Estimate
from tasks.evaluation.metrics import ClassFigures, Evaluation
from tasks.pages.leaderboard import leaderboard_rows

MOST_CLASSES = 30
FIGURES = ("recall", "specificity", "precision", "f1", "auc", "balanced_accuracy", "brier")


def publish_artifacts(
    run: Run, findings: AuditFindings, evaluation: Evaluation, verdict: Verdict, report_uri: str
) -> None:
    """Create the artifacts in the active flow run."""
    from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

    key = run.name.replace("_", "-")
    create_markdown_artifact(
        summary_markdown(run, findings, evaluation, verdict, report_uri),
        key=f"{key}-summary",
        description="Summary",
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


def publish_leaderboard(run: Run, found: SearchResult) -> None:
    """Show in the active flow run what a search tried."""
    from prefect.artifacts import create_table_artifact

    create_table_artifact(
        leaderboard_rows(found),
        key=f"{run.name.replace('_', '-')}-leaderboard",
        description=f"{len(found.leaderboard)} recipes by {found.objective.label}, over the images that chose them.",
    )


def summary_markdown(
    run: Run, findings: AuditFindings, evaluation: Evaluation, verdict: Verdict, report_uri: str
) -> str:
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
        *(_row(f"recall of {of_class.name}", of_class.recall) for of_class in _of_many_classes(evaluation)),
        "",
        "## Decision",
        "",
        *(f"- {reason}" for reason in verdict.decision.reasons),
        *(
            ["", "## Data", "", *(f"- {warning}" for warning in findings.warnings)]
            if findings.warnings
            else []
        ),
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


def _of_many_classes(evaluation: Evaluation) -> list[ClassFigures]:
    """The classes of lowest recall, where there are more than two."""
    if len(evaluation.classes) == 2:
        return []
    known = [figures for figures in evaluation.per_class if figures.recall.value is not None]
    return sorted(known, key=lambda figures: figures.recall.value or 0.0)[:MOST_CLASSES]


def _row(name: str, figure: Estimate) -> str:
    value = "–" if figure.value is None else f"{figure.value:.3f}"
    interval = "–" if figure.lower is None else f"{figure.lower:.3f} to {figure.upper:.3f}"
    return f"| {name.replace('_', ' ')} | {value} | {interval} | {figure.n} |"
