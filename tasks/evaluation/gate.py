"""The decision to serve a model: bars that it must reach by itself, a champion to beat. Every reason is in words."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from tasks.evaluation.bars import Check, Question, bars
from tasks.evaluation.challenge import champion_checks
from tasks.evaluation.comparison import Comparison
from tasks.evaluation.looks import Looks
from tasks.evaluation.metrics import Evaluation
from tasks.evaluation.served import ServedFigures
from tasks.evaluation.settings import RECALL_TARGET, GateSettings
from tasks.evaluation.trivial import FactComparison
from tasks.record import Frozen

Outcome = Literal["promoted", "refused", "too few"]


class Decision(Frozen):
    """Whether the model is served from now on, and why."""

    verdict: Outcome = Field(
        description="Whether the model becomes the champion; `too few`: it is not known to be bad, there are too few "
        "images to tell."
    )
    checks: tuple[Check, ...] = Field(
        min_length=1, description="Every question with its answer, those that refuse first."
    )
    reasons: list[str] = Field(
        min_length=1, description="Every answer, in words, and what else was decisive."
    )
    settings: GateSettings = Field(description="The bars and margins that were applied.")
    looks: Looks = Field(description="What these images were asked before.")

    def answer(self, question: Question) -> bool | None:
        """Whether all checks of a question were passed; None where it was not asked."""
        answers = [check.passed for check in self.checks if check.question == question]
        if not answers or all(answer is None for answer in answers):
            return None
        return False not in answers

    @property
    def recall_reached(self) -> bool:
        """Whether the bar on recall was reached."""
        return self.answer("recall") is True

    @property
    def above_chance(self) -> bool:
        """Whether the AUC was shown to be above that of chance."""
        return self.answer("chance") is True

    @property
    def champion_beaten(self) -> bool | None:
        """Whether the champion was beaten; None without a champion to compare with."""
        return self.answer("champion")


def decide(
    evaluation: Evaluation,
    champion_comparison: Comparison | None,
    settings: GateSettings,
    *,
    incomparable: str | None = None,
    facts: Sequence[FactComparison] | None = None,
    recall_target: float = RECALL_TARGET,
    harm_ratio: float | None = None,
    looks: Looks = Looks(),  # noqa: B008 - frozen
    growth: float | None = None,
    served: ServedFigures | None = None,
) -> Decision:
    """Promote what reaches every bar and beats the champion, if any. A tie refuses.

    `incomparable` says in words why there is a champion but no comparison: the bars then decide alone. `facts` are the
    paired comparisons with trivial facts of the files; `recall_target` is what the threshold was set for, and
    `harm_ratio` how many false alarms a miss is worth, where that was stated. `looks` is what the images were asked
    before, `growth` the share of images that the model learnt from more than the champion did, and `served` what was
    measured of the champion in service: told, and no reason for or against this model.
    """
    own = bars(evaluation, facts, settings, recall_target=recall_target, harm_ratio=harm_ratio)
    against_champion = (
        [] if champion_comparison is None else champion_checks(champion_comparison, settings, growth)
    )
    place = next(k for k, check in enumerate(own) if check.question in ("trivial facts", "chance"))
    checks = [*own[:place], *against_champion, *own[place:]]
    checks.sort(key=lambda check: check.passed is not False)
    refusing = [check for check in checks if check.passed is False]
    verdict: Outcome = "promoted"
    if refusing:
        verdict = "too few" if refusing[0].question == "enough images" else "refused"
    alone = []
    if champion_comparison is None:
        alone.append(incomparable or "there is no other model to compare with: the bars decide alone")
    return Decision(
        verdict=verdict,
        checks=tuple(checks),
        reasons=[
            *(check.words for check in checks),
            *alone,
            *([served.in_words()] if served else []),
            *looks.in_words(),
        ],
        settings=settings,
        looks=looks,
    )
