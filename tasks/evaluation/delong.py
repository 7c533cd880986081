"""Whether two AUCs on the same images differ by more than chance."""

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, rankdata

from tasks.evaluation.intervals import Floats, group_index


def auc_difference_test(
    positive: npt.ArrayLike, first: npt.ArrayLike, second: npt.ArrayLike, groups: npt.ArrayLike
) -> float | None:
    """P value, two-sided, of the second model's AUC being the first one's: DeLong's test, groups being the unit.

    `positive` (n,) flags, each model's scores (n,), groups (n,) any labels. None where it is undefined: with fewer
    than two groups of either kind of image, or where the scores differ without any spread.

    Sources: DeLong et al. 1988, doi:10.2307/2531595, by midranks as Sun and Xu 2014, doi:10.1109/LSP.2014.2337313;
    copies and patients as clusters, Obuchowski 1997, doi:10.2307/2533958, which is DeLong's where every group is one
    image.
    """
    truth, index = np.asarray(positive, dtype=np.bool_), group_index(groups)
    with_positives, with_negatives = (np.unique(index[kind]).size for kind in (truth, ~truth))
    if min(with_positives, with_negatives) < 2:
        return None
    before, after = (_placements(truth, np.asarray(scores, dtype=np.float64)) for scores in (first, second))
    of_positives, of_negatives = after[0] - before[0], after[1] - before[1]
    difference = float(of_positives.mean())
    n_groups = int(index.max()) + 1
    a = np.bincount(index[truth], weights=of_positives - difference, minlength=n_groups) / of_positives.size
    b = np.bincount(index[~truth], weights=of_negatives - difference, minlength=n_groups) / of_negatives.size
    variance = (
        with_positives / (with_positives - 1) * float(a @ a)
        + with_negatives / (with_negatives - 1) * float(b @ b)
        + 2 * n_groups / (n_groups - 1) * float(a @ b)
    )
    if abs(difference) < 1e-12:
        return 1.0
    if variance < 1e-15:
        return None
    return float(2 * norm.sf(abs(difference) / np.sqrt(variance)))


def _placements(truth: npt.NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats]:
    """For each positive the share of negatives below it, for each negative that of positives above it; ties half."""
    ranks = rankdata(scores)
    n_positive, n_negative = int(truth.sum()), int((~truth).sum())
    above = (ranks[truth] - rankdata(scores[truth])) / n_negative
    below = 1 - (ranks[~truth] - rankdata(scores[~truth])) / n_positive
    return above, below
