"""What is asked next: first what teaches most, each batch varied, similar images side by side."""

import warnings
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.copies.feature_scale import FeatureScale

BATCH: Final = 20
"""Images chosen together."""

PREFILTER: Final = 10
"""The most uncertain images among which a batch is chosen, in batches (Zhdanov's beta)."""

COLD_CANDIDATES: Final = 4000
"""Images looked at for a batch while nothing is known of any."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def uncertainty(probabilities: Floats) -> Floats:
    """One minus the margin between the two likeliest classes: (n, classes) → (n,) in 0..1."""
    ordered = np.sort(probabilities, axis=1)
    result: Floats = 1 - (ordered[:, -1] - ordered[:, -2])
    return result


def teaching_order(
    features: NDArray[np.floating], doubt: Floats | None, first: int, batch: int = BATCH
) -> Ints:
    """Places of n images in the order in which they should be asked, int64 (n,).

    features (n, d); `doubt` (n,) is how uncertain each is, None while there is no model. The `first` ones are chosen
    batch by batch: weighted k-means of the most uncertain, one image a cluster (F. Zhdanov 2019, "Diverse mini-batch
    Active Learning", arXiv:1901.05954), without a model of all; within a batch each image stands beside the most
    similar one. The rest follows by uncertainty. Deterministic.
    """
    n = len(features)
    if n == 0:
        return np.empty(0, dtype=np.int64)
    unit = FeatureScale.of(features).unit(features)
    weights = np.ones(n) if doubt is None else doubt
    left = np.argsort(-weights, kind="stable")
    chosen: list[Ints] = []
    asked = 0
    while asked < min(first, n):
        reach = COLD_CANDIDATES if doubt is None else PREFILTER * batch
        some = _varied(unit, weights, _spread(left, reach) if doubt is None else left[:reach], batch)
        chosen.append(some[_chain(unit[some])])
        left = left[~np.isin(left, some)]
        asked += len(some)
    return np.concatenate([*chosen, left])


def side_by_side(features: NDArray[np.floating]) -> Ints:
    """Places of n images, each beside the most similar one that was left: int64 (n,)."""
    if not len(features):
        return np.empty(0, dtype=np.int64)
    return _chain(FeatureScale.of(features).unit(features))


def _spread(places: Ints, most: int) -> Ints:
    """At most so many, evenly taken."""
    return places[:: -(-len(places) // most)] if len(places) > most else places


def _varied(unit: NDArray[np.float32], weights: Floats, among: Ints, batch: int) -> Ints:
    """One place near the centre of each of `batch` clusters."""
    if len(among) <= batch:
        return among
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # copies make fewer clusters than asked for
        model = KMeans(batch, n_init=1, random_state=0)
        distance = model.fit_transform(unit[among], sample_weight=np.maximum(weights[among], 1e-6))
    nearest: Ints = np.unique(distance.argmin(axis=0))
    return among[nearest]


def _chain(unit: NDArray[np.float32]) -> Ints:
    """A walk through all rows, from each to the most similar one not yet visited."""
    left = np.ones(len(unit), dtype=np.bool_)
    walk = np.zeros(len(unit), dtype=np.int64)
    left[0] = False
    for step in range(1, len(unit)):
        similar = np.where(left, unit @ unit[walk[step - 1]], -np.inf)
        walk[step] = similar.argmax()
        left[walk[step]] = False
    return walk
