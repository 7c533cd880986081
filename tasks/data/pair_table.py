"""Pairs of copies as a table, for people: which files, by what evidence, and how near."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from tasks.copies.content import Content
from tasks.copies.duplicates import hash_distances, pairs_by_key
from tasks.copies.near_copies import CopyIndex, hashes_of
from tasks.copies.settings import NearCopyRule
from tasks.data.catalogue_table import typed

NEAR_PAIR_COLUMNS: Final = {
    "sha256_a": "str",
    "sha256_b": "str",
    "path_a": "str",
    "path_b": "str",
    "by": "str",
    "hash_distance": "Int64",
    "cosine": "Float64",
    "alignment": "Float64",
}
"""Two different contents that count as copies, `sha256_a` the smaller digest. `by` is the first that holds of
"pixels" (equal pixels), "hash" (found by it), "features" (found by them) and "key" (a given group). `hash_distance`
is in bits of 256; `cosine` of standardised deep features and `alignment` (see `tasks.copies.alignment`) are at most 1,
missing where unknown."""


def pair_table(
    contents: Sequence[Content], paths: Sequence[str], copies: CopyIndex, rule: NearCopyRule
) -> pd.DataFrame:
    """Pairs of copies, and of equal pixels or an equal key, with NEAR_PAIR_COLUMNS; `paths[i]` is of content i."""
    found = np.sort(copies.places_among(contents)[copies.pairs], axis=1)
    present = np.flatnonzero((found >= 0).all(axis=1))
    row = {pair: i for i, pair in zip(present.tolist(), map(tuple, found[present].tolist()), strict=True)}
    by_pixels = pairs_by_key([(content.pixel_sha256,) for content in contents])
    by_key = pairs_by_key([content.keys for content in contents])
    every = np.unique(np.sort(np.concatenate([by_pixels, found[present], by_key]), axis=1), axis=0)
    distances = hash_distances(hashes_of(contents), every)
    records = []
    for (a, b), distance in zip(every.tolist(), distances.tolist(), strict=True):
        i = row.get((a, b))
        one, other = contents[a], contents[b]
        if one.pixel_sha256 == other.pixel_sha256:
            by = "pixels"
        elif i is None:
            by = "key"
        else:
            by = "hash" if distance <= rule.max_hash_distance else "features"
        records.append(
            (
                one.sha256,
                other.sha256,
                paths[a],
                paths[b],
                by,
                distance,
                None if i is None else _known(copies.cosine[i]),
                None if i is None else _known(copies.alignment[i]),
            )
        )
    return typed(pd.DataFrame(records, columns=list(NEAR_PAIR_COLUMNS)), NEAR_PAIR_COLUMNS)


def _known(value: np.float32) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
