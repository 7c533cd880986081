"""The copies of a data set: what pictures say, and what follows of it for groups and for questions to a person."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tasks.copies.content import Content
from tasks.copies.feature_scale import ContentFeatures, FeatureScale
from tasks.copies.grouping import JoinedCopies, join_copies
from tasks.copies.near_copies import CopyIndex, PictureEvidence, find_copies
from tasks.copies.settings import NearCopyRule
from tasks.work.progress import Progress, silent


@dataclass(frozen=True)
class FoundCopies:
    """All pairs with their evidence, and which of the contents that were searched are joined or asked about."""

    index: CopyIndex = field(default_factory=CopyIndex)
    pairs: JoinedCopies = field(default_factory=JoinedCopies)


def copies_among(
    contents: Sequence[Content],
    rule: NearCopyRule,
    *,
    features: ContentFeatures | None = None,
    scale: FeatureScale | None = None,
    known: CopyIndex | None = None,
    not_copies: Collection[frozenset[str]] = (),
    progress: Progress = silent,
) -> FoundCopies:
    """Find copies as `find_copies` does, and join them as `join_copies` does; rows are those of `contents`."""
    index = find_copies(contents, rule, features=features, scale=scale, known=known, progress=progress)
    evident = index.evident
    pairs = index.places_among(contents)[index.pairs[evident]]
    evidence = PictureEvidence(contents, rule, features, scale)

    def are_copies(others: NDArray[np.int64]) -> NDArray[np.bool_]:
        distance, _, agreement = evidence.of_pairs(others)
        return index.limits.met(agreement, distance)

    return FoundCopies(index, join_copies(contents, pairs, index.evidence[evident], are_copies, not_copies))
