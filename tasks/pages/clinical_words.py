"""What the clinical figures mean, in sentences that leave no room to misread them."""

from tasks.evaluation.calibration_figures import CalibrationFigures
from tasks.evaluation.intervals import Estimate
from tasks.evaluation.practice import InPractice
from tasks.evaluation.words import number

NOTES = {
    "precision": "Holds for the share of findings among these images; rarer findings make it smaller.",
    "f1": "Mixes misses and false alarms without asking what either costs. Not a figure to decide by.",
    "accuracy": "Follows the commoner class: where findings are rare, never alarming scores high. "
    "Not a figure to decide by.",
    "balanced_accuracy": "Counts a miss and a false alarm by the size of their class, not by what they cost.",
}
"""What to know of a figure that is easily taken for more than it is."""


def in_100(prevalence: float) -> str:
    """A share as so many in 100, or in 1,000 where it is rarer."""
    if prevalence < 0.01:
        return f"{1000 * prevalence:.2g} in 1,000"
    return f"{100 * prevalence:.0f} in 100" if prevalence >= 0.1 else f"{100 * prevalence:.2g} in 100"


def count(figure: Estimate) -> str:
    """An expected number with its interval, such as `3 (1 to 6)`, or why there is none."""
    if figure.value is None:
        return figure.reason or ""
    if figure.lower is None or figure.upper is None:
        return f"{_whole(figure.value)} (no interval: {figure.reason})"
    return f"{_whole(figure.value)} ({_whole(figure.lower)} to {_whole(figure.upper)})"


def of_100(figure: Estimate) -> str:
    """A share as so many of 100 with its interval, such as `35 (21 to 52)`, or why there is none."""
    if figure.value is None:
        return figure.reason or ""
    if figure.lower is None or figure.upper is None:
        return f"{_in_100(figure.value)} (no interval: {figure.reason})"
    return f"{_in_100(figure.value)} ({_in_100(figure.lower)} to {_in_100(figure.upper)})"


def ratio(figure: Estimate) -> str:
    """A factor with two digits and its interval, such as `4.6 (3.1 to 7)`, or why there is none."""
    if figure.value is None:
        return figure.reason or ""
    if figure.lower is None or figure.upper is None:
        return f"{figure.value:.2g} (no interval: {figure.reason})"
    return f"{figure.value:.2g} ({figure.lower:.2g} to {figure.upper:.2g})"


def where_it_is_for(practice: InPractice) -> str:
    """For which prevalence the figures are, and who said so."""
    images = in_100(practice.of_images)
    if practice.stated:
        return (
            f"Whoever started this run stated that {in_100(practice.prevalence)} images will have the finding where "
            f"the model is used. Among the images of the test it was {images}."
        )
    return (
        "Nobody stated how common the finding is where the model is to be used. The marked row holds for images of "
        f"which {images} have it, as in this test; such collections often hold far more findings than everyday work "
        "does. State the share with --prevalence (prevalence in the form)."
    )


def how_believable(figures: CalibrationFigures, n: int) -> str:
    """Whether the probabilities can be taken at their word."""
    expected, observed = figures.expected * n, figures.observed * n
    begin = (
        f"The probabilities promise {expected:.0f} findings among the {n} images; there are {observed:.0f}."
    )
    return " ".join([begin, _level(figures.ratio), *_spread(figures.slope)])


def _level(ratio: Estimate) -> str:
    if ratio.lower is None or ratio.upper is None:
        return f"Whether they are too high or too low on the whole cannot be told: {ratio.reason}."
    if ratio.upper < 1:
        return "On the whole they are too high: do not read them as chances."
    if ratio.lower > 1:
        return "On the whole they are too low: do not read them as chances."
    return "On the whole they are not shown to be too high or too low."


def _spread(slope: Estimate) -> list[str]:
    if slope.lower is None or slope.upper is None:
        return [f"Whether they are too extreme cannot be told: {slope.reason}."]
    if slope.upper < 1:
        return ["They are too extreme: a high one should be lower, a low one higher."]
    if slope.lower > 1:
        return ["They are too timid: a high one should be higher, a low one lower."]
    return ["They are not shown to be too extreme or too timid."]


def right_alarms(practice: InPractice) -> str:
    """For the first screen, where a prevalence was stated: how many alarms are right there; else nothing."""
    ppv = practice.here.ppv
    if not practice.stated or ppv.value is None:
        return ""
    return f"Where {in_100(practice.prevalence)} images have the finding, of 100 alarms {of_100(ppv)} would be right."


def chance(p_value: float) -> str:
    """How often chance alone would do so, and what follows."""
    shown = "it does not do equally well" if p_value < 0.05 else "no difference is shown"
    often = "more than 9 times in 10" if p_value > 0.9 else f"about {round(100 * p_value)} times in 100"
    if p_value < 0.015:
        often = "about once in 100 times" if p_value >= 0.005 else "less than once in 200 times"
    return f"{shown} (chance alone does as much {often})"


def ece_by_chance(figures: CalibrationFigures) -> str:
    """What the calibration error must be held against."""
    return f"{number(figures.ece_by_chance)} by chance alone"


def worth_it(gain: Estimate) -> str:
    """Whether acting on the model is shown to do more good than the best it could be replaced by."""
    if gain.lower is None or gain.upper is None:
        return f"cannot be told: {gain.reason}"
    if gain.lower > 0:
        return "yes"
    return "no, worse" if gain.upper < 0 else "not shown"


def _in_100(share: float) -> str:
    """Never all or none where that is not so."""
    if share in (0.0, 1.0):
        return f"{100 * share:.0f}"
    if share < 0.0005 or share >= 0.9995:
        return "under 0.1" if share < 0.5 else "over 99.9"
    return f"{100 * share:.0f}" if 0.1 <= share < 0.99 else f"{100 * share:.1f}"


def _whole(value: float) -> str:
    return f"{value:.0f}" if value >= 10 or value == 0 else f"{value:.1f}".removesuffix(".0")
