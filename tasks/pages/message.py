"""What a message to people says of a model, at one glance. Plain text; the channel escapes its own markup."""

from typing import Literal

from tasks.evaluation.intervals import Estimate
from tasks.evaluation.words import in_full

ModelEventName = Literal["lightbox.model.recall-low", "lightbox.model.promoted", "lightbox.model.refused"]
TITLES: dict[ModelEventName, str] = {
    "lightbox.model.recall-low": "recall is below the bar",
    "lightbox.model.refused": "the new model was refused",
    "lightbox.model.promoted": "a new model is served",
}


def subject(name: str, event: ModelEventName) -> str:
    """One line."""
    return f"Lightbox {name}: {TITLES[event]}"


def text(
    *,
    name: str,
    event: ModelEventName,
    version: str,
    champion: str | None,
    recall: Estimate,
    bar: float,
    images: int,
    report: str,
    reasons: list[str],
) -> str:
    """A few lines: what was found against the bar, what happens now, why, and where to read on."""
    lines = [
        f"{TITLES[event][0].upper()}{TITLES[event][1:]}.",
        f"Data set: {name} ({images} images evaluated)",
        f"Recall: {in_full(recall)}, bar {bar:.3g}",
        f"Model: {version}",
        f"Now: {_now(version, champion)}",
        *(f"Why: {_one_line(reason)}" for reason in reasons),
        f"Report: {report}",
    ]
    return "\n".join(lines)


def _now(version: str, champion: str | None) -> str:
    if champion == version:
        return f"{version} is served from now on"
    if champion is None:
        return "no model is served"
    return f"the old model {champion} stays in service"


def _one_line(said: str) -> str:
    """Class names come from folders: no line breaks or control characters may stand in a message for them."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in said).split())
