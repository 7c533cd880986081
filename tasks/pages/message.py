"""What a message to people says of a model, at one glance. Plain text; the channel escapes its own markup."""

from tasks.evaluation.metrics import Evaluation
from tasks.evaluation.served import ServedFigures
from tasks.evaluation.words import in_full
from tasks.pages.outcome import ModelEventName, Outcome


def subject(outcome: Outcome, event: ModelEventName) -> str:
    """One line."""
    return f"Lightbox {outcome.name}: {outcome.subject(event)}"


def alarm_text(outcome: Outcome, alarm: ServedFigures, report: str) -> str:
    """A few lines on a model in service that finds too few."""
    said = outcome.alarm_subject(alarm)
    return "\n".join(
        [
            f"{said[0].upper()}{said[1:]}.",
            f"Data set: {outcome.name}",
            f"Model: {alarm.version}, in service",
            f"Recall: {in_full(alarm.recall)}, bar {outcome.decision.settings.min_recall:.3g}",
            f"Specificity: {in_full(alarm.specificity)}",
            f"Findings observed for each expected: {in_full(alarm.observed_over_expected)}",
            f"Images: {alarm.n} in {alarm.n_groups} groups; none had a part in making it",
            f"Now: {outcome.now}",
            f"What to do: look at the images that {alarm.version} misses. Are they of another scanner, site or time "
            "than those it learnt from? To return to the version before: "
            f"lightbox models rollback --name {outcome.name}",
            f"Report: {report}",
        ]
    )


def text(outcome: Outcome, event: ModelEventName, evaluation: Evaluation, report: str) -> str:
    """A few lines: what was found against the bars, what is served, why, what to do, and where to read on."""
    settings = outcome.decision.settings
    said = outcome.subject(event)
    lines = [
        f"{said[0].upper()}{said[1:]}.",
        f"Data set: {outcome.name} ({evaluation.n} images evaluated)",
        f"Recall: {in_full(evaluation.recall)}, bar {settings.min_recall:.3g}",
        *(
            [f"Specificity: {in_full(evaluation.specificity)}, bar {settings.min_specificity:.3g}"]
            if evaluation.positive_class is not None
            else []
        ),
        f"Model: {outcome.version}",
        f"Now: {outcome.now}",
        *(f"Why: {_one_line(reason)}" for reason in outcome.decision.reasons),
        f"What to do: {outcome.to_do}",
        f"Report: {report}",
    ]
    return "\n".join(lines)


def _one_line(said: str) -> str:
    """Class names come from folders: no line breaks or control characters may stand in a message for them."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in said).split())
