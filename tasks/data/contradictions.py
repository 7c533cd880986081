"""The same picture under several classes, or everywhere: who contradicts whom, in words."""

from collections import defaultdict
from typing import Final

import pandas as pd

_NAMED: Final = 5


def contradicting_classes(frame: pd.DataFrame) -> list[str]:
    """Which classes share pictures, the most shared first, in sentences; `frame` has CATALOGUE_COLUMNS."""
    conflicting = frame[frame["conflict"]]
    shared: defaultdict[tuple[str, str], int] = defaultdict(int)
    examples: dict[tuple[str, str], tuple[str, str]] = {}
    for _, rows in conflicting.groupby("pixel_sha256", sort=True):
        first = rows.drop_duplicates("label").sort_values("label")
        found = list(first[["label", "path"]].itertuples(index=False, name=None))
        for place, (one, one_path) in enumerate(found):
            for other, other_path in found[place + 1 :]:
                shared[one, other] += 1
                examples.setdefault((one, other), (one_path, other_path))
    pictures = frame.groupby("label")["pixel_sha256"].nunique()
    told = []
    for (one, other), count in sorted(shared.items(), key=lambda item: (-item[1], item[0]))[:_NAMED]:
        here, there = examples[one, other]
        twice = here == there
        where = f"{here} has both labels" if twice else f"{here} and {there} are the same"
        told.append(
            f"{count} of the {pictures[one]} pictures of {one!r} are also under {other!r} ({pictures[other]} pictures),"
            f" such as: {where}. They are neither learnt from nor reported on."
        )
    return told


def lost_to_contradictions(frame: pd.DataFrame) -> list[str]:
    """Classes of which no picture is theirs alone."""
    own = set(frame.loc[~frame["conflict"], "label"])
    return sorted(set(frame["label"]) - own)
