"""A random sample of the images to label, whatever a model thinks of them: figures on it speak for all images.

Images that a model chose, because it was unsure of them or knows nothing like them, are harder than the others: figures
on them describe a population that somebody made (B. Settles 2009, "Active learning literature survey", section 6). So a
share of what is asked is drawn at random, and each label keeps why its image was asked about and how probable that was.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def random_order(sha256s: Sequence[str]) -> Ints:
    """Places of the contents, int64 (n,), in an order that no model, label or path has a say in.

    By the digest of the content's digest: the same for ever, whatever comes or goes, so that the first images of a data
    set in this order are a simple random sample of it, however many syncs they were asked in.
    """
    ranks = [hashlib.sha256(sha256.encode()).digest() for sha256 in sha256s]
    return np.array(sorted(range(len(ranks)), key=ranks.__getitem__), dtype=np.int64)


def mixed(places: Ints, at_random: Ints, share: float) -> tuple[Ints, NDArray[np.bool_]]:
    """`places` (n,) in their order, but for every 1/share-th one the next of the same places `at_random`.

    The places, int64 (n,), each once, and whether (n,) each was drawn at random.
    """
    in_order, drawn = iter(places.tolist()), iter(at_random.tolist())
    taken: dict[int, bool] = {}
    owed = 0.0
    while len(taken) < len(places):
        owed += share
        turn = owed >= 1
        owed -= turn
        taken[next(place for place in (drawn if turn else in_order) if place not in taken)] = turn
    return np.array(list(taken), dtype=np.int64), np.array(list(taken.values()), dtype=np.bool_)
