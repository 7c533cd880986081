"""The bars that a model must reach by itself, whatever is served: every one of them can be missed.

The threshold is set for recall, which is therefore reached by a coin. What the rule leaves free is asked too:
specificity at that threshold (or net benefit, where it is stated how many false alarms a miss is worth), and the AUC,
which must exceed chance and what trivial facts of the files reach.
"""

import math
from collections.abc import Sequence
from typing import Final, Literal

from pydantic import Field
from scipy.stats import norm

from tasks.evaluation.intervals import CONFIDENCE, Estimate, Z
from tasks.evaluation.metrics import ClassFigures, Evaluation
from tasks.evaluation.settings import GateSettings
from tasks.evaluation.trivial import FactComparison
from tasks.evaluation.words import against, as_reason
from tasks.record import Frozen

CHANCE: Final = 0.5
"""AUC of a model that knows nothing."""

_MOST_NAMED: Final = 10

Question = Literal[
    "enough images", "recall", "specificity", "net benefit", "champion", "trivial facts", "chance"
]


class Check(Frozen):
    """One question of the gate and its answer in words."""

    question: Question = Field(description="What was asked.")
    passed: bool | None = Field(description="The answer; None where it was not asked, which refuses nothing.")
    below: bool = Field(
        default=False,
        description="Whether the figure itself misses the bar, not only the lower end of its interval.",
    )
    words: str = Field(description="The answer, with its figures.")


def bars(
    evaluation: Evaluation,
    facts: Sequence[FactComparison] | None,
    settings: GateSettings,
    *,
    recall_target: float,
    harm_ratio: float | None,
) -> list[Check]:
    """Every bar but the champion, passed or not."""
    judged = _judged(evaluation, settings)
    target = recall_target if [c.name for c in judged] == [evaluation.positive_class] else 1.0
    checks = [*_enough(judged, settings, target), _recall(evaluation, judged, settings, target)]
    if evaluation.positive_class is not None:
        checks.append(
            _specificity(evaluation.specificity, settings)
            if harm_ratio is None
            else _net_benefit(evaluation, harm_ratio, settings)
        )
    return [*checks, *_above_facts(facts, settings), _above_chance(evaluation.auc)]


def images_needed(bar: float, target: float, z: float = Z) -> int | None:
    """Independent images that show a rate of at least `bar`, when `target` of them is what is found.

    Where Wilson's lower bound equals the bar; None where the target does not exceed it.
    """
    if bar <= 0:
        return 0
    if target <= bar:
        return None
    return math.ceil(z**2 * bar * (1 - bar) / (target - bar) ** 2 - 1e-9)


def lower_bound(rate: Estimate, together: int) -> float | None:
    """Lower end of a rate's interval when `together` of them are to hold at once (Bonferroni 1936).

    That of Wilson's interval on as many images as the one given is worth.
    """
    if together == 1 or rate.value is None or not rate.lower:
        return rate.lower
    n, z = _worth(rate), _z(together)
    scale = 1 + z**2 / n
    half = z * math.sqrt(rate.value * (1 - rate.value) / n + z**2 / (4 * n**2))
    return max(0.0, (rate.value + z**2 / (2 * n) - half) / scale)


def _z(together: int) -> float:
    return float(norm.ppf(1 - (1 - CONFIDENCE) / (2 * together)))


def _worth(rate: Estimate) -> float:
    """Independent images that the width of an interval speaks of, by Wilson's: never more than there are."""
    if rate.value is None or not rate.lower or rate.lower >= rate.value:
        return float(max(rate.n, 1))
    independent = Z**2 * rate.lower * (1 - rate.lower) / (rate.value - rate.lower) ** 2
    return min(float(rate.n), independent)


def _judged(evaluation: Evaluation, settings: GateSettings) -> list[ClassFigures]:
    """The classes whose recall must reach the bar."""
    named = settings.recall_classes
    if not named and evaluation.positive_class is not None:
        named = (evaluation.positive_class,)
    return [figures for figures in evaluation.per_class if not named or figures.name in named]


def _enough(judged: Sequence[ClassFigures], settings: GateSettings, target: float) -> list[Check]:
    """Asked before the figures are: with too few images not even a faultless model could show what is asked."""
    if settings.on == "value":
        return []
    needed = images_needed(settings.min_recall, target, _z(len(judged)))
    short = [c for c in judged if needed is not None and _worth(c.recall) < needed]
    return (
        [Check(question="enough images", passed=False, words=_too_few(short, needed, settings, target))]
        if (short and needed is not None)
        else []
    )


def _too_few(short: Sequence[ClassFigures], needed: int, settings: GateSettings, target: float) -> str:
    counts = []
    for figures in short[:_MOST_NAMED]:
        worth = _worth(figures.recall)
        alike = f", which are alike and worth {worth:.0f}" if worth < 0.95 * figures.n else ""
        total = math.ceil(needed * figures.n / worth - 1e-6)
        counts.append(f"{figures.n} of {figures.name}{alike}: about {total} are needed")
    more = f", and {len(short) - _MOST_NAMED} other classes" if len(short) > _MOST_NAMED else ""
    best = "that misses none" if target == 1.0 else f"that finds the {target:g} its threshold is set for"
    return (
        f"too few images to judge ({'; '.join(counts)}{more}). With fewer, not even a faultless model {best} could "
        f"show a recall of at least {settings.min_recall:g}"
    )


def _recall(
    evaluation: Evaluation, judged: Sequence[ClassFigures], settings: GateSettings, target: float
) -> Check:
    if len(judged) == 1:
        return _recall_of_one(judged[0], settings, target)
    together = len(judged)
    compared = {
        c.name: lower_bound(c.recall, together) if settings.on == "lower bound" else c.recall.value
        for c in judged
    }
    missed = [c for c in judged if (value := compared[c.name]) is None or value < settings.min_recall]
    macro = (
        as_reason("macro recall", evaluation.macro.recall)
        if evaluation.macro.recall.value is not None
        else ""
    )
    beside = f"; {macro}" if macro else ""
    side = f"lower bound, {together} classes at once," if settings.on == "lower bound" else "recall"
    if not missed:
        lowest = min(judged, key=lambda c: compared[c.name] or 0.0)
        words = (
            f"recall of each of {together} classes: the lowest {side} is "
            f"{against(compared[lowest.name] or 0.0, settings.min_recall)} ({lowest.name}) and reaches the bar "
            f"{settings.min_recall:g}{beside}"
        )
        return Check(question="recall", passed=True, words=words)
    shown = ", ".join(_missed_words(c, compared[c.name], settings) for c in missed[:_MOST_NAMED])
    more = f", and {len(missed) - _MOST_NAMED} others" if len(missed) > _MOST_NAMED else ""
    words = (
        f"recall of {len(missed)} of {together} classes is not shown to reach the bar {settings.min_recall:g} "
        f"({side} below it): {shown}{more}{beside}"
    )
    below = any(c.recall.value is not None and c.recall.value < settings.min_recall for c in missed)
    return Check(question="recall", passed=False, below=below, words=words)


def _missed_words(figures: ClassFigures, compared: float | None, settings: GateSettings) -> str:
    if figures.recall.value is None or compared is None:
        return f"{figures.name} cannot be judged ({figures.recall.reason})"
    bound = f", lower bound {against(compared, settings.min_recall)}" if settings.on == "lower bound" else ""
    return f"{figures.name} {figures.recall.value:.3f} (n={figures.n}{bound})"


def _recall_of_one(figures: ClassFigures, settings: GateSettings, target: float) -> Check:
    check = _rate("recall", f"recall of {figures.name}", figures.recall, settings.min_recall, settings)
    impossible = images_needed(settings.min_recall, target) is None and settings.on == "lower bound"
    if check.passed or not impossible or figures.recall.value is None:
        return check
    return check.model_copy(
        update={
            "words": f"{check.words}; no number of images can show it while the threshold is set for a recall of "
            f"{target:g}: ask for a higher recall_target, or for less"
        }
    )


def _specificity(rate: Estimate, settings: GateSettings) -> Check:
    return _rate("specificity", "specificity at the threshold", rate, settings.min_specificity, settings)


def _rate(question: Question, what: str, rate: Estimate, bar: float, settings: GateSettings) -> Check:
    compared = rate.lower if settings.on == "lower bound" else rate.value
    if compared is None:
        return Check(question=question, passed=False, words=f"{what} cannot be judged: {rate.reason}")
    reached = compared >= bar
    name = settings.on if settings.on == "lower bound" else "it"
    below = rate.value is not None and rate.value < bar
    verb = "reaches" if reached else "is below"
    words = f"{as_reason(what, rate)}: {name} {against(compared, bar)} {verb} the bar {bar:g}"
    words += "" if reached or below else ", so it is not shown to reach it"
    return Check(question=question, passed=reached, below=below, words=words)


def _net_benefit(evaluation: Evaluation, harm_ratio: float, settings: GateSettings) -> Check:
    """Of the model less that of calling all, and of calling none, positive; a miss being worth `harm_ratio` alarms.

    Per image; the share of positives is taken as it is here. The bound combines those of recall and specificity.
    Sources: Vickers and Elkin 2006, doi:10.1177/0272989X06295361; MOVER, Zou and Donner 2008, doi:10.1002/sim.3095.
    """
    recall, specificity = evaluation.recall, evaluation.specificity
    if recall.value is None or specificity.value is None or recall.lower is None or specificity.lower is None:
        why = recall.reason or specificity.reason
        return Check(question="net benefit", passed=False, words=f"net benefit cannot be judged: {why}")
    share = recall.n / evaluation.n
    of_negatives = (1 - share) / harm_ratio
    above_none = share * recall.value - of_negatives * (1 - specificity.value)
    above_all = of_negatives * specificity.value - share * (1 - recall.value)
    spread = 0.0
    if settings.on == "lower bound":
        spread = math.hypot(
            share * (recall.value - recall.lower), of_negatives * (specificity.value - specificity.lower)
        )
    rival, least = min(("none", above_none), ("all", above_all), key=lambda found: found[1])
    passed = least - spread > 0
    return Check(
        question="net benefit",
        passed=passed,
        words=f"where a miss weighs as much as {harm_ratio:g} false alarms, the model is "
        f"{'' if passed else 'NOT shown to be '}of more use than calling all or no image positive: net benefit per "
        f"100 images {100 * least:+.1f} against calling {rival}"
        + (f" (lower bound {100 * (least - spread):+.1f})" if settings.on == "lower bound" else ""),
    )


def _above_facts(facts: Sequence[FactComparison] | None, settings: GateSettings) -> list[Check]:
    if not settings.above_trivial_facts:
        return []
    if not facts:
        words = (
            "the model was not compared with trivial facts of the files: the audit measured none that differs"
        )
        return [Check(question="trivial facts", passed=None, words=words)]
    lowest = min(
        facts, key=lambda found: found.difference.lower if found.difference.lower is not None else -1.0
    )
    difference = lowest.difference
    passed = difference.lower is not None and difference.lower > 0
    if difference.value is None:
        words = f"the model cannot be compared with the {lowest.fact} of the files: {difference.reason}"
    elif passed:
        words = (
            f"{as_reason(f'AUC minus that of {lowest.fact} alone', difference, of_difference=True)}: above it"
        )
        words += ", and above every other trivial fact" if len(facts) > 1 else ""
    else:
        words = (
            "the model is NOT shown to be better than a trivial fact of the files, and may have learnt that: "
            f"{as_reason(f'AUC minus that of {lowest.fact} alone ({lowest.auc:.3f})', difference, of_difference=True)}"
        )
    return [Check(question="trivial facts", passed=passed, words=words)]


def _above_chance(auc: Estimate) -> Check:
    """Always by the lower bound: a figure above a half proves nothing."""
    if auc.value is None or auc.lower is None:
        words = f"the model is not shown to be better than chance: AUC cannot be judged ({auc.reason})"
        return Check(question="chance", passed=False, words=words)
    above = auc.lower > CHANCE
    words = f"{as_reason('AUC', auc)}: lower bound {against(auc.lower, CHANCE)}"
    if above:
        return Check(question="chance", passed=True, words=f"{words} is above chance ({CHANCE:g})")
    words = f"the model is NOT shown to be better than chance. {words} is not above {CHANCE:g}"
    return Check(question="chance", passed=False, words=words)
