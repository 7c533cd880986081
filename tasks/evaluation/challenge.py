"""Is the challenger better than the champion, or as good and grown? Specificity and recall are guarded either way."""

from tasks.evaluation.bars import Check
from tasks.evaluation.comparison import Comparison
from tasks.evaluation.intervals import Estimate
from tasks.evaluation.settings import GateSettings
from tasks.evaluation.words import against, as_reason, signed


def champion_checks(comparison: Comparison, settings: GateSettings, growth: float | None) -> list[Check]:
    """What a challenger is asked; `growth` is the share of images that it learnt from more than the champion did."""
    champion = f"champion (version {comparison.champion_version})"
    if comparison.n_groups < settings.min_common_groups:
        words = (
            f"only {comparison.n} images in {comparison.n_groups} groups are unseen by both this model and the "
            f"{champion}: {settings.min_common_groups} groups are needed for a comparison"
        )
        return [Check(question="champion", passed=False, words=words)]
    better = _superiority(comparison, champion, settings)
    if not better.passed:
        better = _renewed(better, comparison, champion, settings, growth)
    return [
        better,
        _recall_kept(comparison.recall_difference, champion, settings),
        _specificity_kept(comparison.specificity_difference, champion, settings),
    ]


def _superiority(comparison: Comparison, champion: str, settings: GateSettings) -> Check:
    difference = comparison.auc_difference
    floor = comparison.auc_floor if settings.on == "lower bound" else difference.value
    if floor is None:
        words = f"AUC cannot be compared with the {champion}: {difference.reason}"
        return Check(question="champion", passed=False, words=words)
    better = floor > settings.margin
    verb = "exceeds" if better else "does not exceed"
    name = "it"
    if settings.on == "lower bound":
        name = f"lower bound of the {100 * (1 - 2 * comparison.floor_level):.3g} % interval"
    words = as_reason(f"AUC minus that of the {champion}", difference, of_difference=True)
    bar = f"{name} {against(floor, settings.margin, of_difference=True)} {verb} {settings.margin:g}"
    return Check(question="champion", passed=better, words=f"{words}: {bar}")


def _renewed(
    tied: Check, comparison: Comparison, champion: str, settings: GateSettings, growth: float | None
) -> Check:
    """A challenger that is not better passes where it is shown to be not worse and learnt from enough more images."""
    if settings.renew_with_growth is None or growth is None:
        return tied
    lower = comparison.auc_difference.lower
    grown, kept = growth >= settings.renew_with_growth, lower is not None and lower > -settings.max_auc_loss
    if not grown or lower is None:
        return tied.model_copy(
            update={
                "words": f"{tied.words}; it learnt from {growth:+.0%} images, too few to renew the {champion}"
            }
        )
    verb = "shown" if kept else "NOT shown"
    words = (
        f"{tied.words}; it learnt from {growth:+.0%} images and is {verb} to lose less than {settings.max_auc_loss:g} "
        f"(lower bound {signed(lower)}){f', so it may renew the {champion}' if kept else ''}"
    )
    return Check(question="champion", passed=kept, words=words)


def _recall_kept(difference: Estimate, champion: str, settings: GateSettings) -> Check:
    """The figure itself is compared: both thresholds were set for recall, and it cannot differ by much."""
    if difference.value is None:
        words = f"recall cannot be compared with the {champion}: {difference.reason}"
        return Check(question="champion", passed=False, words=words)
    kept = difference.value >= -settings.max_recall_loss
    verb = "within" if kept else "more than"
    words = as_reason(f"recall minus that of the {champion}", difference, of_difference=True)
    allowed = f"{verb} the loss of {settings.max_recall_loss:g} that is allowed"
    return Check(question="champion", passed=kept, words=f"{words}: {allowed}")


def _specificity_kept(difference: Estimate, champion: str, settings: GateSettings) -> Check:
    """By the lower bound: specificity is what pays where a threshold is set for recall."""
    compared = difference.lower if settings.on == "lower bound" else difference.value
    if compared is None:
        words = f"specificity cannot be compared with the {champion}: {difference.reason}"
        return Check(question="champion", passed=False, words=words)
    allowed = settings.max_specificity_loss
    kept = compared > -allowed or (compared == 0 and allowed == 0)
    name = settings.on if settings.on == "lower bound" else "it"
    words = as_reason(f"specificity minus that of the {champion}", difference, of_difference=True)
    verb = "is within" if kept else "is not within"
    bound = against(compared, -allowed, of_difference=True)
    return Check(
        question="champion",
        passed=kept,
        words=f"{words}: {name} {bound} {verb} the loss of {allowed:g} that is allowed",
    )
