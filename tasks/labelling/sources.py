"""What labelling looks at beside the listing: what the last report doubts, and what the endpoint was unsure of."""

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from tasks.models.endpoint_log import newest_rows
from tasks.stores.layout import ENDPOINT_LOG
from tasks.stores.workspace import Workspace

MOST_LOGGED: Final = 1000
"""Images of the endpoint's log that are looked at, the latest ones."""

LOGGED_FOLDER: Final = ENDPOINT_LOG.folder()
"""What the name of an image begins with that the log alone has."""


@dataclass(frozen=True)
class LoggedImage:
    """An image that the endpoint judged: its bytes where the log keeps images, and its highest probability."""

    sha256: str
    data: bytes | None
    probability: float

    @property
    def path(self) -> str:
        """Its name where it stands in no store."""
        return f"{LOGGED_FOLDER}/{self.sha256}"


def doubted(suspects: bytes | None) -> list[str]:
    """Digests of the suspects of a report, the most suspect first; none where there is no report."""
    if suspects is None:
        return []
    frame = pd.read_parquet(io.BytesIO(suspects))
    return [str(sha256) for sha256 in frame.sort_values("rank")["sha256"]]


def copies_found(near_pairs: bytes | None, *, asked: bool = False) -> list[frozenset[str]]:
    """The pairs of contents that a catalogue found to be copies, by what they show; none where there is none.

    Or those that it leaves to a person, where these are `asked` for.
    """
    if near_pairs is None:
        return []
    frame = pd.read_parquet(io.BytesIO(near_pairs))
    left = frame.get("asked", pd.Series(False, frame.index))  # before 0.1.0 nothing was left to a person
    found = frame[(frame["by"] != "key") & (left == asked)]
    pairs = found[["sha256_a", "sha256_b"]].itertuples(index=False, name=None)
    return [frozenset((str(one), str(other))) for one, other in pairs]


def logged_images(workspace: Workspace, name: str) -> list[LoggedImage]:
    """The latest images that the endpoint judged, the newest first, each once; rejected and mirrored rows left out."""
    found: dict[str, LoggedImage] = {}
    for row in newest_rows(workspace, name, ["sha256", "probabilities", "rejected", "mirrored", "image"]):
        if row["sha256"] and row["rejected"] is None and not row["mirrored"] and row["probabilities"]:
            image = LoggedImage(row["sha256"], row["image"], float(np.max(row["probabilities"])))
            found.setdefault(image.sha256, image)
        if len(found) == MOST_LOGGED:
            break
    return list(found.values())
