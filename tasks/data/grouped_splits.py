"""Parts of a data set that no group of copies crosses."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def grouped_splits(
    labels: NDArray[np.int64], groups: ArrayLike, n_splits: int, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Split positions into (train, test) `n_splits` times, stratified; no group (n,) is on both sides."""
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros((len(labels), 1)), labels, np.asarray(groups)))
