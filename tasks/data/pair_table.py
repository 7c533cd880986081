"""Pairs of copies as a table, for people: which files, by what evidence, and how sure; and pairs to ask about."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from tasks.copies.content import Content
from tasks.copies.duplicates import hash_distances, pairs_by_key
from tasks.copies.found_copies import FoundCopies
from tasks.copies.near_copies import hashes_of
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
    "agreement": "Float64",
    "asked": "bool",
}
"""Two different contents that count as copies, `sha256_a` the smaller digest, or of which a person is `asked` whether
they do. `by` is the first that holds of "pixels" (equal pixels), "hash" (found by it), "features" (found by them) and
"key" (a given group). `hash_distance` is in bits of 256; `cosine` of standardised deep features and `agreement` (see
`tasks.copies.agreement`) are at most 1, missing where unknown."""


def pair_table(
    contents: Sequence[Content],
    paths: Sequence[str],
    copies: FoundCopies,
    groups: Sequence[str],
    rule: NearCopyRule,
) -> pd.DataFrame:
    """Pairs of copies, of equal pixels or an equal key, and pairs to ask about, with NEAR_PAIR_COLUMNS.

    `paths[i]` and `groups[i]` are of content i.
    """
    index = copies.index
    found = np.sort(index.places_among(contents)[index.pairs], axis=1)
    asked = {
        (a, b)
        for a, b in np.sort(copies.pairs.asked, axis=1).tolist()
        if b < len(contents) and groups[a] != groups[b]
    }
    row = {
        (a, b): i
        for i, ((a, b), evident) in enumerate(zip(found.tolist(), index.evident.tolist(), strict=True))
        if a >= 0 and evident and (groups[a] == groups[b] or (a, b) in asked)
    }
    by_pixels = pairs_by_key([(content.pixel_sha256,) for content in contents])
    by_key = pairs_by_key([content.keys for content in contents])
    present = np.array(sorted({*row, *asked}), dtype=np.int64).reshape(-1, 2)
    every = np.unique(np.sort(np.concatenate([by_pixels, present, by_key]), axis=1), axis=0)
    distances = hash_distances(hashes_of(contents), every)
    records = []
    for (a, b), distance in zip(every.tolist(), distances.tolist(), strict=True):
        i = row.get((a, b))
        one, other = contents[a], contents[b]
        if one.pixel_sha256 == other.pixel_sha256:
            by = "pixels"
        elif i is None and (a, b) not in asked:
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
                None if i is None else _known(index.cosine[i]),
                None if i is None else _known(index.agreement[i]),
                (a, b) in asked,
            )
        )
    return typed(pd.DataFrame(records, columns=list(NEAR_PAIR_COLUMNS)), NEAR_PAIR_COLUMNS)


def _known(value: np.float32) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
