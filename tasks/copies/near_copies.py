"""Which contents are copies of one another: hash and deep features propose, the pictures themselves decide."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.copies.alignment import SIDE, alignment, is_flat
from tasks.copies.content import Content
from tasks.copies.duplicates import HASH_BYTES, hash_distances, near_pairs_by_hash
from tasks.copies.feature_scale import ContentFeatures, FeatureScale
from tasks.copies.settings import NearCopyRule
from tasks.copies.similarity import Vectors, similar_pairs
from tasks.work.npz import arrays_of
from tasks.work.progress import Progress, silent
from tasks.work.row_file import Rows

SEARCH_VERSION: Final = 1
"""Rises when the search would find other pairs among the same contents."""

_CHUNK: Final = 1024
_MIRRORED_COSINE: Final = 0.6
"""Features hardly see mirroring: of mirrored copies of 50 brain MR slices 95 % had a cosine above 0.7."""


@dataclass(frozen=True)
class CopyIndex:
    """The contents among which all copies are known, and those pairs.

    `sha256s` ascends; `with_features` bool (n,) says whose features and picture were at hand. `pairs` is int64 (m, 2)
    of places in `sha256s`, the smaller first; `hash_distance` int64 (m,); `cosine` and `alignment` float32 (m,), NaN
    where they could not be had.
    """

    sha256s: tuple[str, ...] = ()
    with_features: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=np.bool_))
    pairs: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    hash_distance: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    cosine: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, dtype=np.float32))
    alignment: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, dtype=np.float32))

    def to_bytes(self) -> bytes:
        """As an .npz file."""
        data = io.BytesIO()
        arrays = {name: value for name, value in vars(self).items() if name != "sha256s"}
        np.savez_compressed(data, sha256s=np.array(self.sha256s, dtype="S64"), **arrays)
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
        return cls(tuple(arrays.pop("sha256s").astype(str).tolist()), **arrays)

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

    Candidates are pairs near by hash or by features. Of those whose pictures are at hand, copies are the ones that fit
    when laid over one another; of the others, and of pictures without any structure, those within
    `rule.max_hash_distance`. `scale` is made from `features` when none is given.
    """
    if not contents or not rule.search:
        return CopyIndex()
    contents = sorted(contents, key=lambda content: content.sha256)
    found = _Search(contents, rule, features, scale)
    known = known or CopyIndex()
    moved = known.places_among(contents)
    new = np.ones(len(contents), dtype=np.bool_)
    still = (moved >= 0) & (known.with_features | ~found.with_features[moved])
    new[moved[still]] = False
    old = moved[known.pairs]
    kept = (old >= 0).all(axis=1) & ~new[old].any(axis=1)
    pairs = found.candidates(new)
    cosine, distance = found.cosine(pairs), hash_distances(found.hashes, pairs)
    fit = found.alignment(pairs, cosine >= _MIRRORED_COSINE, progress)
    copies = found.are_copies(fit, distance)
    order = np.lexsort(np.concatenate([old[kept], pairs[copies]])[:, ::-1].T)

    def both(before: NDArray[np.generic], now: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.concatenate([before[kept], now[copies]])[order]

    return CopyIndex(
        tuple(content.sha256 for content in contents),
        found.with_features,
        both(old, pairs),  # type: ignore[arg-type]
        both(known.hash_distance, distance),  # type: ignore[arg-type]
        both(known.cosine, cosine),  # type: ignore[arg-type]
        both(known.alignment, fit),  # type: ignore[arg-type]
    )


class _Search:
    """The evidence about contents, by their places."""

    def __init__(
        self,
        contents: Sequence[Content],
        rule: NearCopyRule,
        features: ContentFeatures | None,
        scale: FeatureScale | None,
    ) -> None:
        self.hashes = hashes_of(contents)
        self._sha256s = [content.sha256 for content in contents]
        self._rule, self._features = rule, features
        rows = {sha256: row for row, sha256 in enumerate(features.sha256s)} if features else {}
        self._row = np.array([rows.get(sha256, -1) for sha256 in self._sha256s], dtype=np.int64)
        self._scale = scale or (
            FeatureScale.of(features.values[self._row[self._row >= 0]]) if features else None
        )

    @property
    def with_features(self) -> NDArray[np.bool_]:
        return self._row >= 0

    def candidates(self, new: NDArray[np.bool_]) -> NDArray[np.int64]:
        distance = self._rule.max_hash_distance * 3 // 2 if self._features else self._rule.max_hash_distance
        pairs = [near_pairs_by_hash(self.hashes, distance, new)]
        if self._features is not None:
            places = np.flatnonzero(self.with_features)
            vectors = Vectors(len(places), lambda some: self._unit(places[some]))
            near = similar_pairs(vectors, self._rule.min_feature_cosine, new[places])
            pairs.append(places[near])
        return np.unique(np.concatenate(pairs), axis=0)

    def _unit(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        assert self._features is not None and self._scale is not None  # noqa: S101 - asked where both are
        return self._scale.unit(self._features.values[self._row[places]])

    def _comparable(self, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.asarray(self.with_features[pairs].all(axis=1))

    def cosine(self, pairs: NDArray[np.int64]) -> NDArray[np.float32]:
        cosine = np.full(len(pairs), np.nan, dtype=np.float32)
        known = np.flatnonzero(self._comparable(pairs))
        for start in range(0, len(known), _CHUNK):
            some = known[start : start + _CHUNK]
            a, b = pairs[some].T
            cosine[some] = (self._unit(a) * self._unit(b)).sum(axis=1)
        return cosine

    def alignment(
        self, pairs: NDArray[np.int64], mirrored: NDArray[np.bool_], progress: Progress
    ) -> NDArray[np.float32]:
        """NaN where a picture is not at hand, or has nothing to be compared by."""
        fit = np.full(len(pairs), np.nan, dtype=np.float32)
        known = np.flatnonzero(self._comparable(pairs))
        involved = np.unique(pairs[known])
        thumbnails = self._thumbnails(involved)
        for start in range(0, len(known), _CHUNK):
            some = known[start : start + _CHUNK]
            places, inverse = np.unique(np.searchsorted(involved, pairs[some]), return_inverse=True)
            pictures, rows = thumbnails[places], inverse.reshape(-1, 2)
            fits = alignment(pictures, rows, enough=self._rule.min_alignment, mirrored=mirrored[some])
            fit[some] = np.where(is_flat(pictures)[rows].any(axis=1), np.nan, fits)
            progress(start + len(some), len(known), "candidates compared")
        return fit

    def _thumbnails(self, places: NDArray[np.int64]) -> Rows:
        if self._features is None or not len(places):
            return np.empty((0, SIDE, SIDE), dtype=np.uint8)
        return self._features.thumbnails([self._sha256s[place] for place in places])

    def are_copies(self, fit: NDArray[np.float32], distance: NDArray[np.int64]) -> NDArray[np.bool_]:
        near: NDArray[np.bool_] = np.where(
            np.isnan(fit), distance <= self._rule.max_hash_distance, fit >= self._rule.min_alignment
        )
        return near
