"""The decision to serve a model: better than chance, a bar on recall, a champion to beat. Every reason is in words."""

from typing import Final, Literal

from pydantic import Field

from tasks.evaluation.comparison import Comparison
from tasks.evaluation.intervals import Estimate
from tasks.evaluation.metrics import Evaluation
from tasks.evaluation.settings import GateSettings
from tasks.evaluation.words import as_reason
from tasks.record import Frozen

CHANCE: Final = 0.5
"""AUC of a model that knows nothing. Recall is no evidence against it: the threshold is set for recall, and a coin
reaches any."""


class Decision(Frozen):
    """Whether the model is served from now on, and why."""

    verdict: Literal["promoted", "refused"] = Field(description="Whether the model becomes the champion.")
    reasons: list[str] = Field(min_length=1, description="Every check, in words, passed or not.")
    above_chance: bool = Field(description="Whether the AUC was shown to be above that of chance.")
    recall_reached: bool = Field(description="Whether the bar on recall was reached.")
    champion_beaten: bool | None = Field(
        description="Whether the champion was beaten; None without a champion."
    )
    settings: GateSettings = Field(description="The bar and margin that were applied.")


def decide(
    evaluation: Evaluation,
    champion_comparison: Comparison | None,
    settings: GateSettings,
    *,
    incomparable: str | None = None,
) -> Decision:
    """Promote what is shown to be better than chance, reaches the bar on recall and beats the champion, if any.

    A tie refuses.

    `incomparable` says in words why there is a champion but no comparison: the bar then decides alone.
    """
    above_chance, chance = _chance_check(evaluation)
    recall_reached, reasons = _recall_check(evaluation, settings)
    beaten = None
    if champion_comparison is None:
        reasons.append(incomparable or "no model was served before: the bar on recall decides alone")
    else:
        beaten, more = _champion_check(champion_comparison, settings)
        reasons += more
    reasons = [*reasons, chance] if above_chance else [chance, *reasons]
    promoted = above_chance and recall_reached and beaten is not False
    return Decision(
        verdict="promoted" if promoted else "refused",
        reasons=reasons,
        above_chance=above_chance,
        recall_reached=recall_reached,
        champion_beaten=beaten,
        settings=settings,
    )


def _chance_check(evaluation: Evaluation) -> tuple[bool, str]:
    """Always by the lower bound: a figure above a half proves nothing."""
    auc = evaluation.auc
    if auc.value is None or auc.lower is None:
        return False, f"the model is not shown to be better than chance: AUC cannot be judged ({auc.reason})"
    above = auc.lower > CHANCE
    words = f"{as_reason('AUC', auc)}: lower bound {_digits(auc.lower, CHANCE)}"
    if above:
        return True, f"{words} is above chance ({CHANCE:g})"
    return False, f"the model is NOT shown to be better than chance. {words} is not above {CHANCE:g}"


def _recall_check(evaluation: Evaluation, settings: GateSettings) -> tuple[bool, list[str]]:
    recall = evaluation.recall
    what = "macro recall" if evaluation.positive_class is None else f"recall of {evaluation.positive_class}"
    compared = recall.lower if settings.on == "lower bound" else recall.value
    if compared is None:
        return False, [f"{what} cannot be judged: {recall.reason}"]
    reached = compared >= settings.min_recall
    name = settings.on if settings.on == "lower bound" else "it"
    verb = "reaches" if reached else "is below"
    return reached, [
        f"{as_reason(what, recall)}: {name} {_digits(compared, settings.min_recall)} {verb} the bar "
        f"{settings.min_recall:g}"
    ]


def _champion_check(comparison: Comparison, settings: GateSettings) -> tuple[bool, list[str]]:
    champion = f"champion (version {comparison.champion_version})"
    if comparison.n < settings.min_common_images:
        return False, [
            f"only {comparison.n} images are unseen by both this model and the {champion}: "
            f"{settings.min_common_images} are needed for a comparison"
        ]
    better, superiority = _superiority(comparison.auc_difference, champion, settings)
    kept, recall = _recall_kept(comparison.recall_difference, champion, settings)
    return better and kept, [superiority, recall]


def _superiority(difference: Estimate, champion: str, settings: GateSettings) -> tuple[bool, str]:
    compared = difference.lower if settings.on == "lower bound" else difference.value
    if compared is None:
        return False, f"AUC cannot be compared with the {champion}: {difference.reason}"
    better = compared > settings.margin
    verb = "exceeds" if better else "does not exceed"
    name = settings.on if settings.on == "lower bound" else "it"
    words = as_reason(f"AUC minus that of the {champion}", difference, of_difference=True)
    return (
        better,
        f"{words}: {name} {_digits(compared, settings.margin, signed=True)} {verb} {settings.margin:g}",
    )


def _recall_kept(difference: Estimate, champion: str, settings: GateSettings) -> tuple[bool, str]:
    """The figure itself is compared: the lower end of a difference in recall is below any sensible loss."""
    if difference.value is None:
        return False, f"recall cannot be compared with the {champion}: {difference.reason}"
    kept = difference.value >= -settings.max_recall_loss
    verb = "within" if kept else "more than"
    words = as_reason(f"recall minus that of the {champion}", difference, of_difference=True)
    return kept, f"{words}: {verb} the loss of {settings.max_recall_loss:g} that is allowed"


def _digits(value: float, bar: float, *, signed: bool = False) -> str:
    """As many digits as it takes to see on which side of the bar a value lies."""
    sign = "+" if signed else ""
    for digits in range(3 if signed else 2, 7):
        text = f"{value:{sign}.{digits}f}"
        if (float(text) > bar) == (value > bar) and (float(text) < bar) == (value < bar):
            break
    return text.replace("-", "−")
