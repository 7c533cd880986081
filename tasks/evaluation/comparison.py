"""Champion against challenger on the same images, none of which either saw."""

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field
from scipy.stats import norm

from tasks.errors import DataSetUnusable
from tasks.evaluation import intervals
from tasks.evaluation.delong import auc_difference_test
from tasks.evaluation.intervals import Estimate, Floats, Ints, Ranking
from tasks.evaluation.net_benefit import NetBenefitCurve, net_benefit_curve
from tasks.record import Frozen

_MOST_EXACT = 4_000
"""Errors up to which the signs of groups are counted out; beyond, their sum is normal."""


class SideFigures(Frozen):
    """Figures of one model on the common images."""

    model_config = ConfigDict(allow_inf_nan=False)

    auc: float | None = Field(description="Area under the ROC curve (macro without a positive class).")
    recall: float | None = Field(description="Recall at the model's own threshold.")
    specificity: float | None = Field(description="Specificity at the model's own threshold.")
    errors: int = Field(ge=0, description="Images predicted wrongly.")


class Comparison(Frozen):
    """Paired differences, challenger minus champion, with intervals that know the images are the same."""

    model_config = ConfigDict(allow_inf_nan=False)

    champion_version: str = Field(description="Version that is served now.")
    n: int = Field(ge=0, description="Common images that neither saw.")
    n_groups: int = Field(ge=0, description="Groups of copies (or patients) among them.")
    champion: SideFigures = Field(description="Figures of the champion.")
    challenger: SideFigures = Field(description="Figures of the challenger.")
    auc_difference: Estimate = Field(description="Challenger's AUC minus champion's.")
    recall_difference: Estimate = Field(description="Challenger's recall minus champion's.")
    specificity_difference: Estimate = Field(description="Challenger's specificity minus champion's.")
    only_champion_right: int = Field(ge=0, description="Images that only the champion predicts rightly.")
    only_challenger_right: int = Field(ge=0, description="Images that only the challenger predicts rightly.")
    auc_p_value: float | None = Field(
        ge=0,
        le=1,
        description="DeLong's test of equal AUCs, a group of copies counting once; None without a positive class, or "
        "where it is undefined.",
    )
    auc_floor: float | None = Field(
        description="What the difference in AUC exceeds at the level that was asked for; None where it is undefined."
    )
    floor_level: float = Field(gt=0, lt=1, description="That level: the chance to be wrong in it, one-sided.")
    net_benefit: NetBenefitCurve | None = Field(
        default=None,
        description="Of challenger and champion on the common images at their share of findings; None "
        "without a positive class, or where the images are all of one kind.",
    )
    p_value: float = Field(
        ge=0,
        le=1,
        description="Test of equal numbers of errors, by the signs of whole groups; McNemar's exact test where every "
        "group is one image.",
    )


def compare(
    labels: npt.ArrayLike,
    champion: tuple[npt.ArrayLike, npt.ArrayLike],
    challenger: tuple[npt.ArrayLike, npt.ArrayLike],
    groups: npt.ArrayLike,
    *,
    classes: list[str],
    positive_class: str | None,
    champion_version: str,
    level: float = (1 - intervals.CONFIDENCE) / 2,
    resamples: int = intervals.RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare two models on common images.

    Shapes: labels and groups (n,); each side a pair of probabilities (n, classes) and predicted (n,), rows in
    the same order. Differences come with a percentile bootstrap over groups in which both models meet the
    same resample; without a positive class they are of macro figures. `level` is that of `auc_floor`: where the same
    images judge model after model, it must be lower than that of one comparison.

    Raises: DataSetUnusable when the two sides differ in number.
    """
    truth = np.asarray(labels, dtype=np.int64)
    sides = [
        (np.asarray(chance, dtype=np.float64).reshape(-1, len(classes)), np.asarray(guess, dtype=np.int64))
        for chance, guess in (champion, challenger)
    ]
    counts = [truth.size, *(array.shape[0] for side in sides for array in side), np.asarray(groups).size]
    if len(set(counts)) != 1:
        raise DataSetUnusable(
            f"champion and challenger cannot be compared: {counts} labels, predictions and groups",
            cure="give both models' predictions of the same images in the same order",
        )
    chosen = list(range(len(classes))) if positive_class is None else [classes.index(positive_class)]
    if truth.size == 0:
        return nothing_in_common(champion_version, level)
    index = intervals.group_index(groups)
    measures = [_Measure(truth, chance, guess, chosen) for chance, guess in sides]
    before, after = (measure.figures(np.ones((1, truth.size)))[0] for measure in measures)

    def difference(weights: Floats) -> Floats:
        return measures[1].figures(weights) - measures[0].figures(weights)

    replicates = intervals.bootstrap(difference, index, resamples=resamples, seed=seed)
    wrong = [guess != truth for _, guess in sides]
    auc, recall, specificity = (
        _difference(before[k], after[k], replicates[:, k], truth.size) for k in range(3)
    )
    return Comparison(
        champion_version=champion_version,
        n=truth.size,
        n_groups=int(index.max()) + 1,
        champion=_side(before, wrong[0]),
        challenger=_side(after, wrong[1]),
        auc_difference=auc,
        recall_difference=recall,
        specificity_difference=specificity,
        only_champion_right=int((wrong[1] & ~wrong[0]).sum()),
        only_challenger_right=int((wrong[0] & ~wrong[1]).sum()),
        auc_p_value=None
        if positive_class is None
        else _auc_test(truth == chosen[0], sides, chosen[0], index),
        auc_floor=_floor(auc, replicates[:, 0], level),
        floor_level=level,
        net_benefit=None
        if positive_class is None
        else _net_benefit(truth == chosen[0], sides, chosen[0], index, f"champion ({champion_version})"),
        p_value=_sign_test(wrong[1].astype(np.int64) - wrong[0], index),
    )


def _net_benefit(
    positive: npt.NDArray[np.bool_],
    sides: list[tuple[Floats, Ints]],
    of_class: int,
    index: Ints,
    champion: str,
) -> NetBenefitCurve | None:
    if positive.all() or not positive.any():
        return None
    theirs, ours = (chance[:, of_class] for chance, _ in sides)
    return net_benefit_curve(positive, ours, index, float(positive.mean()), others={champion: theirs})


class _Measure:
    """AUC, recall and specificity (b, 3) of one model under image weights (b, n)."""

    def __init__(self, labels: Ints, probabilities: Floats, predicted: Ints, chosen: list[int]) -> None:
        self._true = [labels == c for c in chosen]
        self._raised = [predicted == c for c in chosen]
        self._rankings = [Ranking.of(probabilities[:, c], labels == c) for c in chosen]

    def figures(self, weights: Floats) -> Floats:
        columns = []
        for true, raised, ranking in zip(self._true, self._raised, self._rankings, strict=True):
            with np.errstate(divide="ignore", invalid="ignore"):
                recall = weights @ (true & raised) / (weights @ true)
                specificity = weights @ (~true & ~raised) / (weights @ ~true)
            columns.append(np.stack([ranking.figures(weights)[:, 0], recall, specificity], axis=1))
        means: Floats = np.stack(columns).mean(axis=0)
        return means


def _difference(before: float, after: float, replicates: Floats, n: int) -> Estimate:
    """A difference without spread is exact, unlike a rate: the models agree on every image that counts."""
    if not np.isfinite(after - before):
        return intervals.undefined("the common images do not hold every class that is needed", n)
    known = replicates[np.isfinite(replicates)]
    if known.size and np.ptp(known) == 0:
        value = float(after - before)
        return Estimate(value=value, lower=value, upper=value, n=n, method="paired bootstrap over groups")
    return intervals.percentile(float(after - before), replicates, n)


def _side(figures: Floats, wrong: npt.NDArray[np.bool_]) -> SideFigures:
    auc, recall, specificity = (float(f) if np.isfinite(f) else None for f in figures)
    return SideFigures(auc=auc, recall=recall, specificity=specificity, errors=int(wrong.sum()))


def _auc_test(
    positive: npt.NDArray[np.bool_], sides: list[tuple[Floats, Ints]], column: int, groups: Ints
) -> float | None:
    (first, _), (second, _) = sides
    return auc_difference_test(positive, first[:, column], second[:, column], groups)


def _floor(difference: Estimate, replicates: Floats, level: float) -> float | None:
    """The quantile of the resampled differences; the difference itself where it is without spread."""
    if difference.value is None or difference.lower is None:
        return None
    known = replicates[np.isfinite(replicates)]
    return min(float(np.quantile(known, level)), difference.value)


def _sign_test(net_errors: Ints, groups: Ints) -> float:
    """P value, two-sided, of equally many errors: how often the sum of net errors is as large, signs being drawn.

    The groups (n,) keep their sizes and draw a sign each. A group counts with all its errors, so that forty images of
    one patient are not outvoted by one each of twenty; between equally good models its sign is a coin's. Exact, by the
    distribution of the sum; on single images it is McNemar's test (1947, doi:10.1007/BF02295996). Source: Fisher 1935,
    The Design of Experiments, section 21.
    """
    net = np.bincount(groups, weights=net_errors).astype(np.int64)
    sizes = np.abs(net[net != 0])
    if sizes.size == 0:
        return 1.0
    if sizes.sum() > _MOST_EXACT:
        return float(2 * norm.sf(max(abs(int(net.sum())) - 0.5, 0.0) / np.sqrt((sizes**2).sum())))
    chance, middle = np.ones(1), 0
    for size in sizes.tolist():
        wider = np.zeros(chance.size + 2 * size)
        wider[: chance.size] += chance / 2
        wider[2 * size :] += chance / 2
        chance, middle = wider, middle + size
    sums = np.abs(np.arange(chance.size) - middle)
    return float(min(1.0, chance[sums >= abs(int(net.sum()))].sum()))


def nothing_in_common(champion_version: str, level: float) -> Comparison:
    """A comparison without an image."""
    none = intervals.undefined("champion and challenger have no unseen image in common")
    side = SideFigures(auc=None, recall=None, specificity=None, errors=0)
    return Comparison(
        champion_version=champion_version,
        n=0,
        n_groups=0,
        champion=side,
        challenger=side,
        auc_difference=none,
        recall_difference=none,
        specificity_difference=none,
        only_champion_right=0,
        only_challenger_right=0,
        auc_p_value=None,
        auc_floor=None,
        floor_level=level,
        p_value=1.0,
    )
