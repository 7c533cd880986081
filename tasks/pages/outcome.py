"""What became of a model, in words: said alike by message, summary, report and terminal."""

from dataclasses import dataclass
from typing import Literal

from tasks.evaluation.gate import Decision
from tasks.evaluation.served import ServedFigures

ModelEventName = Literal[
    "lightbox.model.recall-low",
    "lightbox.model.too-few",
    "lightbox.model.promoted",
    "lightbox.model.refused",
]


@dataclass(frozen=True)
class Outcome:
    """A decision, the version that it is about, and what was served when it was made.

    `is_champion`: the version served is this very model, judged again. `again`: what was measured of what is served.
    """

    name: str
    version: str
    decision: Decision
    champion: str | None
    is_champion: bool
    again: ServedFigures | None = None

    @property
    def served(self) -> str | None:
        """The version that is served once the decision is carried out."""
        return self.version if self._promotes else self.champion

    @property
    def title(self) -> str:
        """The verdict in two or three words."""
        if self.decision.verdict == "promoted":
            return "Passed again" if self.is_champion else "Promoted"
        if self.decision.verdict == "too few":
            return "Too few images to judge"
        return "Served, but does not pass" if self.is_champion else "Refused"

    @property
    def now(self) -> str:
        """What is served, and why that."""
        version, champion, verdict = self.version, self.champion, self.decision.verdict
        if self.is_champion:
            again = {
                "promoted": "it passed",
                "refused": "it does not pass what is asked now, and nothing was changed",
                "too few": "there are too few images for what is asked now, and nothing was changed",
            }[verdict]
            return f"Version {champion}, the model of this run, is in service: {again}."
        if verdict == "promoted":
            instead = f" instead of version {champion}" if champion else "; no model was served before"
            return f"Version {version}, the model of this run, is served from now on{instead}."
        why = f"version {version} was refused"
        if self.decision.answer("chance") is False:
            why += " because it is not shown to be better than chance"
        if verdict == "too few":
            why = f"there are too few images to judge version {version}"
        if champion is None:
            return f"No model is served: {why}, and there was none before."
        return f"Version {champion} stays in service: {why}."

    @property
    def to_do(self) -> str:
        """What a person may do about it."""
        verdict = self.decision.verdict
        if verdict == "promoted":
            return f"Nothing needs to be done. To go back: lightbox models rollback --name {self.name}"
        if verdict == "too few":
            return "Label more images as the reason says, and run again."
        if self.is_champion:
            return (
                "Decide whether it may stay in service. To return to the version before: lightbox models rollback "
                f"--name {self.name}"
            )
        return "Read the report: doubtful labels, classes and shortcuts first. Correct or add images, and run again."

    @property
    def alarm(self) -> ServedFigures | None:
        """The figures of what is served and stays so, where it was measured to find too few."""
        bar = self.decision.settings.min_recall
        if self.again is None or self._promotes or not self.again.recall_is_below(bar):
            return None
        return self.again

    @property
    def events(self) -> tuple[ModelEventName, ...]:
        """What is told of the model that was judged, the first as a message to people where nothing is graver."""
        verdict = self.decision.verdict
        if verdict == "promoted":
            return ("lightbox.model.promoted",)
        if verdict == "too few":
            return ("lightbox.model.too-few",)
        if self.decision.answer("recall") is False:
            return "lightbox.model.recall-low", "lightbox.model.refused"
        return ("lightbox.model.refused",)

    def alarm_subject(self, alarm: ServedFigures) -> str:
        """What happened to the model that is served, for the first line of a message."""
        return (
            f"recall of {alarm.version}, which is served, is below the bar on {alarm.n} images that came since it was "
            "made"
        )

    def subject(self, event: ModelEventName) -> str:
        """What happened, for the first line of a message."""
        which = f"{self.version}, which is served," if self.is_champion else f"the new model {self.version}"
        if event == "lightbox.model.recall-low":
            return f"recall of {which} is {self._recall_missed}"
        if event == "lightbox.model.too-few":
            return f"too few images to judge {which.rstrip(',')}"
        if event == "lightbox.model.promoted":
            return f"{which} passed again" if self.is_champion else f"{which} is served"
        return f"{which} does not pass" if self.is_champion else f"{which} was refused"

    @property
    def _recall_missed(self) -> str:
        """Below the bar is said of figures that are; of others that they are not shown to reach it."""
        below = [check for check in self.decision.checks if check.question == "recall" and check.below]
        return "below the bar" if below else "not shown to reach the bar"

    @property
    def _promotes(self) -> bool:
        return self.decision.verdict == "promoted" and not self.is_champion
