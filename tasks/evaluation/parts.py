"""Five parts that run across the folds: each image is judged by a rule that the other four chose.

A fold's images are judged by the network that held the fold out, and that network's scale must be known from some of
its own images. So the parts do not follow the folds: each takes about a fifth of the groups of every fold and class.
"""

from typing import Final

import numpy as np

from tasks.errors import DataSetUnusable
from tasks.evaluation.intervals import Ints

PARTS: Final = 5


def parts_of(labels: Ints, folds: Ints, groups: Ints) -> Ints:
    """A part (n,), 0 to 4, for every image of labels, folds and groups (n,); the images of a group share theirs.

    The groups of a class lie in as many parts as they can, so that what the others choose on holds it too.

    Raises: DataSetUnusable when there is but one group.
    """
    numbers, first, index, sizes = np.unique(
        groups, return_index=True, return_inverse=True, return_counts=True
    )
    if numbers.size < 2:
        raise DataSetUnusable(
            "no threshold can be chosen for images that had no part in its choice: there is only one group of copies "
            "among those that may be judged",
            cure="give more images",
        )
    n_parts, index = min(PARTS, numbers.size), index.reshape(-1)
    # A group of several classes stands for its rarest.
    rank = np.argsort(np.argsort(-np.bincount(labels), kind="stable"))
    rarest = np.zeros(numbers.size, dtype=np.int64)
    np.maximum.at(rarest, index, rank[labels])
    order = np.random.default_rng(0).permutation(numbers.size)
    # By class, then by fold, large groups first: dealt out in turn, every part gets its share of each.
    order = order[np.lexsort((-sizes[order], folds[first][order], rarest[order]))]
    part = np.empty(numbers.size, dtype=np.int64)
    part[order] = np.arange(numbers.size) % n_parts
    return part[index]
