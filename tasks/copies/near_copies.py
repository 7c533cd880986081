"""Which contents are copies of one another: hash and deep features propose, the pictures themselves decide."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.copies.agreement import agreement
from tasks.copies.content import Content
from tasks.copies.duplicates import HASH_BITS, HASH_BYTES, hash_distances, near_pairs_by_hash
from tasks.copies.evidence import Limits, control_pairs, limits
from tasks.copies.feature_scale import ContentFeatures, FeatureScale
from tasks.copies.registration import DETAIL_SIDE
from tasks.copies.settings import NearCopyRule
from tasks.copies.similarity import Vectors, similar_pairs
from tasks.work.npz import arrays_of
from tasks.work.progress import Progress, silent
from tasks.work.row_file import Rows

SEARCH_VERSION: Final = 2
"""Rises when the search would find other pairs among the same contents."""

_ARRAYS: Final = ("with_features", "pairs", "hash_distance", "cosine", "agreement")
_CHUNK: Final = 1024
_GROWN: Final = 1.5
_LARGE_PX: Final = 1 << 16
"""Of a picture that is gone: the other of a pair says how small it may be."""

_MIRRORED_COSINE: Final = 0.6
"""Features hardly see mirroring: of mirrored copies of 50 brain MR slices 95 % had a cosine above 0.7."""


@dataclass(frozen=True)
class CopyIndex:
    """The contents among which all copies are known, and those pairs.

    `sha256s` ascends; `with_features` bool (n,) says whose features and picture were at hand. `pairs` is int64 (m, 2)
    of places in `sha256s`, the smaller first; `hash_distance` int64 (m,); `cosine` and `agreement` float32 (m,), NaN
    where they could not be had. Copies are those within `limits`, which were measured among `measured` contents.
    """

    sha256s: tuple[str, ...] = ()
    with_features: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=np.bool_))
    pairs: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    hash_distance: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    cosine: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, dtype=np.float32))
    agreement: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, dtype=np.float32))
    limits: Limits = field(default_factory=lambda: Limits(0.0, HASH_BITS))
    measured: int = 0

    @property
    def evident(self) -> NDArray[np.bool_]:
        """Which pairs are evidently copies, bool (m,)."""
        return self.limits.met(self.agreement, self.hash_distance)

    @property
    def evidence(self) -> NDArray[np.float64]:
        """How surely the pairs are copies, float (m,): what pictures say before what only hashes say."""
        by_hash = -self.hash_distance / HASH_BITS
        return np.where(np.isnan(self.agreement), by_hash, self.agreement).astype(np.float64)

    def to_bytes(self) -> bytes:
        """As an .npz file."""
        data = io.BytesIO()
        np.savez_compressed(
            data,
            sha256s=np.array(self.sha256s, dtype="S64"),
            **{name: getattr(self, name) for name in _ARRAYS},
            limits=np.array([self.limits.agreement, self.limits.hash_distance]),
            measured=np.array(self.measured),
        )
        return data.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "CopyIndex":
        """Read what `to_bytes` wrote.

        Raises:
            WorkspaceError: it is damaged.
        """
        arrays: Any = arrays_of(
            data,
            tuple(column.name for column in fields(cls)),
            "the index of copies",
            "delete the data set's copies folder; copies are then searched again",
        )
        return cls(
            tuple(arrays["sha256s"].astype(str).tolist()),
            limits=Limits(float(arrays["limits"][0]), int(arrays["limits"][1])),
            measured=int(arrays["measured"]),
            **{name: arrays[name] for name in _ARRAYS},
        )

    def places_among(self, contents: Sequence[Content]) -> NDArray[np.int64]:
        """Where in `contents` each content of this index stands, int64 (len(sha256s),); -1 where it does not."""
        place = {content.sha256: i for i, content in enumerate(contents)}
        return np.array([place.get(sha256, -1) for sha256 in self.sha256s], dtype=np.int64)


def hashes_of(contents: Sequence[Content]) -> NDArray[np.uint8]:
    """Their perceptual hashes, uint8 (n, HASH_BYTES)."""
    packed = bytes.fromhex("".join(content.dhash for content in contents))
    return np.frombuffer(packed, dtype=np.uint8).reshape(-1, HASH_BYTES)


def find_copies(
    contents: Sequence[Content],
    rule: NearCopyRule,
    *,
    features: ContentFeatures | None = None,
    scale: FeatureScale | None = None,
    known: CopyIndex | None = None,
    progress: Progress = silent,
) -> CopyIndex:
    """All pairs of copies among distinct contents. What `known` searched with the same rule and scale is taken over.

    Candidates are pairs near by hash or by features. Of those whose pictures are at hand, copies are the ones that
    agree block by block; of the others those near by hash. From which agreement on, control pairs of this set have a
    say: see `evidence`; the limits of `known` stand until there are half as many contents more. `scale` is made from
    `features` when none is given.
    """
    if not contents or not rule.search:
        return CopyIndex()
    contents = sorted(contents, key=lambda content: content.sha256)
    found = PictureEvidence(contents, rule, features, scale)
    known = known or CopyIndex()
    moved = known.places_among(contents)
    new = np.ones(len(contents), dtype=np.bool_)
    still = (moved >= 0) & (known.with_features | ~found.with_features[moved])
    new[moved[still]] = False
    old = moved[known.pairs]
    kept = (old >= 0).all(axis=1) & ~new[old].any(axis=1)
    pairs = found.candidates(new)
    distance, cosine, agreement = found.of_pairs(pairs, progress)
    likely = Limits(rule.min_agreement, rule.max_hash_distance).met(agreement, distance)
    order = np.lexsort(np.concatenate([old[kept], pairs[likely]])[:, ::-1].T)
    grown = len(contents) > _GROWN * known.measured

    def both(before: NDArray[np.generic], now: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.concatenate([before[kept], now[likely]])[order]

    return CopyIndex(
        tuple(content.sha256 for content in contents),
        found.with_features,
        both(old, pairs),  # type: ignore[arg-type]
        both(known.hash_distance, distance),  # type: ignore[arg-type]
        both(known.cosine, cosine),  # type: ignore[arg-type]
        both(known.agreement, agreement),  # type: ignore[arg-type]
        found.limits() if grown else known.limits,
        len(contents) if grown else known.measured,
    )


class PictureEvidence:
    """What hashes, features and pictures say of contents, by their places."""

    def __init__(
        self,
        contents: Sequence[Content],
        rule: NearCopyRule,
        features: ContentFeatures | None,
        scale: FeatureScale | None,
    ) -> None:
        self._hashes = hashes_of(contents)
        self._contents = contents
        self._rule, self._features = rule, features
        rows = {sha256: row for row, sha256 in enumerate(features.sha256s)} if features else {}
        self._row = np.array([rows.get(content.sha256, -1) for content in contents], dtype=np.int64)
        self._sides = np.array([content.side_px or _LARGE_PX for content in contents], dtype=np.int64)
        self._scale = scale or (
            FeatureScale.of(features.values[self._row[self._row >= 0]]) if features else None
        )

    @property
    def with_features(self) -> NDArray[np.bool_]:
        """Whose features and picture are at hand, bool (n,)."""
        return self._row >= 0

    def candidates(self, new: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Pairs near by hash or features of which one is new, int64 (m, 2)."""
        distance = self._rule.max_hash_distance * 3 // 2 if self._features else self._rule.max_hash_distance
        pairs = [near_pairs_by_hash(self._hashes, distance, new)]
        if self._features is not None:
            places = np.flatnonzero(self.with_features)
            vectors = Vectors(len(places), lambda some: self._unit(places[some]))
            near = similar_pairs(vectors, self._rule.min_feature_cosine, new[places])
            pairs.append(places[near])
        return np.unique(np.concatenate(pairs), axis=0)

    def of_pairs(
        self, pairs: NDArray[np.int64], progress: Progress = silent
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Hash distance, cosine and agreement of pairs, each (m,), NaN where they cannot be had."""
        cosine = self._cosine(pairs)
        return hash_distances(self._hashes, pairs), cosine, self._agreement(pairs, cosine, progress)

    def limits(self) -> Limits:
        """What counts as a copy, by control pairs among the contents whose pictures are at hand."""
        places = np.flatnonzero(self.with_features)
        patients = [frozenset(self._contents[place].keys) for place in places.tolist()]
        pairs = places[control_pairs(lambda rows: self._unit(places[rows]), patients)]
        distance, _, agreement = self.of_pairs(pairs)
        return limits(self._rule.min_agreement, self._rule.max_hash_distance, agreement, distance)

    def _unit(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        assert self._features is not None and self._scale is not None  # noqa: S101 - asked where both are
        return self._scale.unit(self._features.values[self._row[places]])

    def _cosine(self, pairs: NDArray[np.int64]) -> NDArray[np.float32]:
        cosine = np.full(len(pairs), np.nan, dtype=np.float32)
        known = np.flatnonzero(self.with_features[pairs].all(axis=1))
        for start in range(0, len(known), _CHUNK):
            some = known[start : start + _CHUNK]
            a, b = pairs[some].T
            cosine[some] = (self._unit(a) * self._unit(b)).sum(axis=1)
        return cosine

    def _agreement(
        self, pairs: NDArray[np.int64], cosine: NDArray[np.float32], progress: Progress
    ) -> NDArray[np.float32]:
        found = np.full(len(pairs), np.nan, dtype=np.float32)
        known = np.flatnonzero(~np.isnan(cosine))
        involved = np.unique(pairs[known])
        pictures = self._pictures(involved)
        for start in range(0, len(known), _CHUNK):
            some = known[start : start + _CHUNK]
            places, inverse = np.unique(np.searchsorted(involved, pairs[some]), return_inverse=True)
            rows, sides = inverse.reshape(-1, 2), self._sides[involved[places]]
            found[some] = agreement(pictures[places], sides, rows, cosine[some] >= _MIRRORED_COSINE)
            progress(start + len(some), len(known), "candidates compared")
        return found

    def _pictures(self, places: NDArray[np.int64]) -> Rows:
        if self._features is None or not len(places):
            return np.empty((0, DETAIL_SIDE, DETAIL_SIDE), dtype=np.uint8)
        return self._features.pictures([self._contents[place].sha256 for place in places])
