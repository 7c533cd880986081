"""Does a faster precision keep the figures? On the images, thresholds and temperatures of the evaluation itself."""

from typing import Final

from tasks.evaluation.metrics import Evaluation
from tasks.models.manifest import FasterPrecision

MOST_AUC_DIFFERENCE: Final = 0.002
MOST_RATE_DIFFERENCE: Final = 0.005


def compare_precisions(exact: Evaluation, faster: Evaluation, runtime: str) -> FasterPrecision:
    """What the faster evaluation differs by, and whether that is little enough to serve it.

    AUC within 0.002; recall, specificity and accuracy within half a point. A difference for the better counts too:
    it is as much a sign that something changed.
    """
    auc = _difference(exact.auc.value, faster.auc.value)
    recall = _difference(exact.recall.value, faster.recall.value)
    specificity = _difference(exact.specificity.value, faster.specificity.value)
    accuracy = _difference(exact.accuracy.value, faster.accuracy.value)
    rates = [rate for rate in (recall, specificity, accuracy) if rate is not None]
    kept = abs(auc or 0.0) <= MOST_AUC_DIFFERENCE and max(map(abs, rates)) <= MOST_RATE_DIFFERENCE
    return FasterPrecision(
        runtime=runtime,
        n=exact.n,
        auc_difference=auc,
        accuracy_difference=accuracy or 0.0,
        recall_difference=recall,
        specificity_difference=specificity,
        accepted=kept,
    )


def _difference(exact: float | None, faster: float | None) -> float | None:
    return None if exact is None or faster is None else faster - exact
