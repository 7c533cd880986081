"""The decision to serve a model: bars that it must reach by itself, a champion to beat. Every reason is in words."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from tasks.evaluation.bars import Check, Question, bars
from tasks.evaluation.comparison import Comparison
from tasks.evaluation.intervals import Estimate
from tasks.evaluation.metrics import Evaluation
from tasks.evaluation.settings import GateSettings
from tasks.evaluation.threshold import RECALL_TARGET
from tasks.evaluation.trivial import FactComparison
from tasks.evaluation.words import against, as_reason
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
) -> Decision:
    """Promote what reaches every bar and beats the champion, if any. A tie refuses.

    `incomparable` says in words why there is a champion but no comparison: the bars then decide alone. `facts` are the
    paired comparisons with trivial facts of the files; `recall_target` is what the threshold was set for, and
    `harm_ratio` how many false alarms a miss is worth, where that was stated.
    """
    own = bars(evaluation, facts, settings, recall_target=recall_target, harm_ratio=harm_ratio)
    against_champion = [] if champion_comparison is None else _champion_checks(champion_comparison, settings)
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
        reasons=[*(check.words for check in checks), *alone],
        settings=settings,
    )


def _champion_checks(comparison: Comparison, settings: GateSettings) -> list[Check]:
    champion = f"champion (version {comparison.champion_version})"
    if comparison.n < settings.min_common_images:
        words = (
            f"only {comparison.n} images are unseen by both this model and the {champion}: "
            f"{settings.min_common_images} are needed for a comparison"
        )
        return [Check(question="champion", passed=False, words=words)]
    return [
        _superiority(comparison.auc_difference, champion, settings),
        _recall_kept(comparison.recall_difference, champion, settings),
    ]


def _superiority(difference: Estimate, champion: str, settings: GateSettings) -> Check:
    compared = difference.lower if settings.on == "lower bound" else difference.value
    if compared is None:
        words = f"AUC cannot be compared with the {champion}: {difference.reason}"
        return Check(question="champion", passed=False, words=words)
    better = compared > settings.margin
    verb = "exceeds" if better else "does not exceed"
    name = settings.on if settings.on == "lower bound" else "it"
    words = as_reason(f"AUC minus that of the {champion}", difference, of_difference=True)
    bar = f"{name} {against(compared, settings.margin, of_difference=True)} {verb} {settings.margin:g}"
    return Check(question="champion", passed=better, words=f"{words}: {bar}")


def _recall_kept(difference: Estimate, champion: str, settings: GateSettings) -> Check:
    """The figure itself is compared: the lower end of a difference in recall is below any sensible loss."""
    if difference.value is None:
        words = f"recall cannot be compared with the {champion}: {difference.reason}"
        return Check(question="champion", passed=False, words=words)
    kept = difference.value >= -settings.max_recall_loss
    verb = "within" if kept else "more than"
    words = as_reason(f"recall minus that of the {champion}", difference, of_difference=True)
    allowed = f"{verb} the loss of {settings.max_recall_loss:g} that is allowed"
    return Check(question="champion", passed=kept, words=f"{words}: {allowed}")
