"""Is the model better than trivial facts, such as the files' size, on the very same images?"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from pydantic import Field

from tasks.evaluation import intervals
from tasks.evaluation.intervals import Estimate, Floats, Ranking
from tasks.record import Frozen

_FEWEST_RESAMPLES = 400
_BOOTSTRAP_ELEMENTS = 40_000_000


class FactComparison(Frozen):
    """The model against a small model that sees one trivial fact alone, both out of fold on the same images."""

    fact: str = Field(description="The fact in words.")
    auc: float = Field(description="AUC of the fact alone on these images.")
    difference: Estimate = Field(description="AUC of the model minus that of the fact.")


def compare_with_facts(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    scores: Mapping[str, npt.ArrayLike],
    groups: npt.ArrayLike,
    chosen: list[int],
    *,
    resamples: int = intervals.RESAMPLES,
    seed: int = 0,
) -> list[FactComparison]:
    """Paired differences in AUC, the mean over the `chosen` classes, by a bootstrap over groups.

    Shapes: labels (n,) class indices, probabilities (n, classes), each fact's scores likewise, groups (n,) any labels.
    The list is empty where an AUC is undefined: a chosen class, or what it is told from, has no image.
    """
    truth, ours = np.asarray(labels, dtype=np.int64), np.asarray(probabilities, dtype=np.float64)
    if not scores or any(np.unique(truth == index).size < 2 for index in chosen):
        return []
    tables = [ours, *(np.asarray(table, dtype=np.float64) for table in scores.values())]
    rankings = [[Ranking.of(table[:, k], truth == k) for k in chosen] for table in tables]

    def aucs(weights: Floats) -> Floats:
        return np.stack([_mean_auc(some, weights) for some in rankings], axis=1)

    elements = truth.size * len(tables) * len(chosen)
    affordable = min(resamples, max(_FEWEST_RESAMPLES, _BOOTSTRAP_ELEMENTS // elements))
    index = intervals.group_index(groups)
    values = aucs(np.ones((1, truth.size)))[0]
    replicates = intervals.bootstrap(aucs, index, resamples=affordable, seed=seed)
    return [
        FactComparison(
            fact=fact,
            auc=float(values[k]),
            difference=intervals.percentile(
                float(values[0] - values[k]), replicates[:, 0] - replicates[:, k], truth.size
            ),
        )
        for k, fact in enumerate(scores, start=1)
    ]


def _mean_auc(rankings: list[Ranking], weights: Floats) -> Floats:
    means: Floats = np.mean([ranking.figures(weights)[:, 0] for ranking in rankings], axis=0)
    return means
