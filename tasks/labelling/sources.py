"""What labelling looks at beside the listing: what the last report doubts, and what the endpoint was unsure of."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from pydantic import ValidationError

from tasks.record import StageUse
from tasks.stores.workspace import Workspace

MOST_LOGGED: Final = 1000
"""Images of the endpoint's log that are looked at, the latest ones."""

LOGGED_FOLDER: Final = "endpoint-log"


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


def doubted_by_last_report(workspace: Workspace, name: str) -> list[str]:
    """Digests of the suspects that the data set's last report lists, the most suspect first."""
    path = _file_of_last_run(workspace, name, "report", "/suspects.parquet")
    if path is None:
        return []
    frame = pd.read_parquet(io.BytesIO(workspace.read(path)))
    return [str(sha256) for sha256 in frame.sort_values("rank")["sha256"]]


def copies_of_last_catalogue(workspace: Workspace, name: str) -> list[frozenset[str]]:
    """The pairs of contents that the data set's last catalogue found to be copies, by what they show."""
    path = _file_of_last_run(workspace, name, "catalogue", "/near_pairs.parquet")
    if path is None:
        return []
    columns = ["sha256_a", "sha256_b", "by"]
    frame = pd.read_parquet(io.BytesIO(workspace.read(path)), columns=columns)
    return [
        frozenset((str(one), str(other)))
        for one, other, found_by in frame.itertuples(index=False)
        if found_by != "key"
    ]


def logged_images(workspace: Workspace, name: str) -> list[LoggedImage]:
    """The latest images that the endpoint judged, the newest first, each once; rejected and mirrored rows left out."""
    files = sorted(workspace.list(f"{LOGGED_FOLDER}/{name}"), reverse=True)
    found: dict[str, LoggedImage] = {}
    for path in files:
        for image in _rows(workspace, path):
            found.setdefault(image.sha256, image)
        if len(found) >= MOST_LOGGED:
            break
    return list(found.values())[:MOST_LOGGED]


def _rows(workspace: Workspace, path: str) -> Iterator[LoggedImage]:
    columns = ["sha256", "probabilities", "rejected", "mirrored", "image"]
    table = pq.read_table(io.BytesIO(workspace.read(path)), columns=columns)
    for row in reversed(table.to_pylist()):
        if row["sha256"] and row["rejected"] is None and not row["mirrored"] and row["probabilities"]:
            yield LoggedImage(row["sha256"], row["image"], float(np.max(row["probabilities"])))


def _file_of_last_run(workspace: Workspace, name: str, stage: str, ending: str) -> str | None:
    """The file that the newest run of this data set had from a stage; runs are named by time."""
    uses = [path for path in workspace.list("runs") if f"/stages/{stage}-" in path]
    for path in sorted(uses, reverse=True):
        try:
            use = StageUse.model_validate_json(workspace.read(path))
        except ValidationError:
            continue  # of another version
        files = [file for file in use.files if file.endswith(ending)]
        if use.name == name and files and workspace.exists(files[0]):
            return files[0]
    return None
