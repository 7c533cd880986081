"""Suspect labels: confident learning on out-of-fold probabilities.

An own implementation of Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset
Labels" (JAIR 70, arXiv:1911.00068): an image is suspect when the model, not having seen it, is at least as sure of
another class as it is on average of the images that bear that class's label (the off-diagonal of the confident joint,
section 3.1), ranked by normalised margin (section 3.2). A group of copies counts once in every mean.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tasks.evaluation.intervals import Floats, Ints, group_index

SUSPECT_COLUMNS: Final = ["path", "sha256", "label", "suggested", "self_confidence", "rank"]
"""Columns of suspects.parquet: `self_confidence` is the probability of the given label; `rank` counts groups from 1,
the most suspect first, and copies share it."""


@dataclass(frozen=True)
class Suspects:
    """Suspect images, the most suspect group first.

    rows (k,) places among the images given; suggested (k,) class indices; self_confidence (k,) in 0..1; rank (k,)
    from 1, shared by the images of a group.
    """

    rows: Ints
    suggested: Ints
    self_confidence: Floats
    rank: Ints

    @property
    def first_of_groups(self) -> npt.NDArray[np.bool_]:
        """Mask (k,): the most suspect image of each group."""
        return np.r_[True, self.rank[1:] != self.rank[:-1]] if self.rank.size else np.zeros(0, np.bool_)


def find_suspects(labels: Ints, probabilities: Floats, groups: npt.ArrayLike) -> Suspects:
    """Find the images whose label the model finds unlikely.

    labels (n,) class indices; probabilities (n, classes) by models that saw neither the image nor a copy; groups (n,).
    Deterministic; the order of the rows changes nothing but the places.
    """
    index = group_index(groups) if labels.size else np.zeros(0, np.int64)
    thresholds = confidence_thresholds(labels, probabilities, index)
    surpassed = np.where(probabilities >= thresholds, probabilities, -1.0)
    suggested = surpassed.argmax(axis=1)
    confident = surpassed[np.arange(labels.size), suggested] >= 0
    rows = np.flatnonzero(confident & (suggested != labels))
    own = probabilities[rows, labels[rows]]
    others = probabilities[rows].copy()
    others[np.arange(rows.size), labels[rows]] = -1.0
    margin = own - (others.max(axis=1) if rows.size else 0.0)
    least = np.full(int(index.max(initial=-1)) + 1, np.inf)
    np.minimum.at(least, index[rows], margin)
    # By the group's margin, groups together, within a group by the image's own.
    order = np.lexsort((rows, margin, index[rows], least[index[rows]]))
    rows, in_order = rows[order], index[rows][order]
    new_group = np.r_[True, in_order[1:] != in_order[:-1]] if rows.size else np.zeros(0, np.bool_)
    return Suspects(
        rows=rows.astype(np.int64),
        suggested=suggested[rows].astype(np.int64),
        self_confidence=own[order],
        rank=np.cumsum(new_group).astype(np.int64),
    )


def confidence_thresholds(labels: Ints, probabilities: Floats, groups: Ints) -> Floats:
    """For each class (classes,), the mean probability of it on the images that bear its label (the paper's eq. 2).

    Each group weighs the same within a class. Infinite for a class without images: nothing is suggested to be of it.
    """
    n_classes = probabilities.shape[1]
    thresholds = np.full(n_classes, np.inf)
    for name in range(n_classes):
        of_class = labels == name
        if of_class.any():
            _, places = np.unique(groups[of_class], return_inverse=True)
            means = np.bincount(places, weights=probabilities[of_class, name]) / np.bincount(places)
            thresholds[name] = means.mean()
    return thresholds
