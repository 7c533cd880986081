"""A run in one screen: what stands beside its graph, as Markdown and as the rows of a table."""

from collections.abc import Sequence

from tasks.evaluation.intervals import Estimate
from tasks.evaluation.metrics import ClassFigures, Evaluation
from tasks.evaluation.words import interval, number
from tasks.pages.outcome import Outcome

MOST_CLASSES = 30
FIGURES = ("recall", "specificity", "precision", "f1", "auc", "balanced_accuracy", "brier")


def summary_markdown(
    outcome: Outcome, evaluation: Evaluation, warnings: Sequence[str], report_uri: str
) -> str:
    """The figures, the decision and what is doubtful about the data, in one screen of Markdown."""
    lines = [
        f"# {outcome.name}: {outcome.title.lower()}",
        "",
        f"**{outcome.now}**",
        "",
        f"{evaluation.n} images in {evaluation.n_groups} groups, {evaluation.protocol.replace('_', '-')}; "
        f"figures of {evaluation.figures_of}.",
        "",
        "| figure | value | 95 % interval | n |",
        "|---|---|---|---|",
        *(_row(figure, getattr(evaluation, figure)) for figure in FIGURES),
        *(_row(f"recall of {of_class.name}", of_class.recall) for of_class in _of_many_classes(evaluation)),
        "",
        "## Decision",
        "",
        *(f"- {reason}" for reason in outcome.decision.reasons),
        "",
        f"What to do: {outcome.to_do}",
        *(["", "## Data", "", *(f"- {warning}" for warning in warnings)] if warnings else []),
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
    return f"| {name.replace('_', ' ')} | {number(figure.value)} | {interval(figure)} | {figure.n} |"
