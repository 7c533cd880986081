"""What Label Studio is told and tells: tasks, suggestions and answers in its own JSON (https://labelstud.io/guide)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Entered:
    """One person's answer as Label Studio keeps it; `label` None is a rejection, unless it was skipped."""

    annotation: int
    by: str
    label: str | None
    skipped: bool
    updated: datetime
    seconds: float | None


@dataclass(frozen=True)
class Task:
    """One image in a project: `suggested` is what it suggests, `model` the version that does, `data` fills the page."""

    id: int
    sha256: str
    path: str
    overlap: int
    answers: tuple[Entered, ...]
    model: str | None
    data: Mapping[str, Any]
    reason: str | None = None
    selection_probability: float | None = None
    suggested: str | None = None

    @property
    def is_untouched(self) -> bool:
        """Whether nobody has answered or skipped it."""
        return not self.answers

    @property
    def is_unanswered(self) -> bool:
        """Whether nobody has answered it; some may have skipped it."""
        return all(answer.skipped for answer in self.answers)


@dataclass(frozen=True)
class NewTask:
    """What makes a task: `image` is where a browser finds it."""

    sha256: str
    path: str
    image: str
    heading: str
    reason: str
    selection_probability: float | None = None
    suggestion: "SuggestedLabel | None" = None


@dataclass(frozen=True)
class SuggestedLabel:
    """A class that the page shows as chosen already."""

    label: str
    probability: float
    model: str


def chosen(result: Sequence[Mapping[str, Any]]) -> str | None:
    """The class that an annotation's result names, the first one; None for none."""
    for region in result:
        if region.get("type") == "choices":
            choices = (region.get("value") or {}).get("choices") or ()
            if choices:
                return str(choices[0])
    return None


def as_task(task: NewTask) -> dict[str, Any]:
    """A task as the import takes it."""
    return {
        "data": {"image": task.image, "heading": task.heading, "sha256": task.sha256},
        "meta": {
            "path": task.path,
            "reason": task.reason,
            "selection_probability": task.selection_probability,
        },
        "predictions": [] if task.suggestion is None else [as_prediction(task.suggestion)],
    }


def as_prediction(suggestion: SuggestedLabel) -> dict[str, Any]:
    """A suggestion as the import takes it."""
    return {
        "model_version": suggestion.model,
        "score": suggestion.probability,
        "result": [
            {
                "from_name": "label",
                "to_name": "image",
                "type": "choices",
                "value": {"choices": [suggestion.label]},
            }
        ],
    }
