"""Predict: what a bundle's members say of images that they never saw. Nothing is chosen and nothing counted here."""

import io
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from tasks.catalogue import Catalogue, copies_ever, ledger_state, read_catalogue
from tasks.data.catalogue_table import CatalogueTable
from tasks.engine.run import Run
from tasks.engine.stage import progress, stage
from tasks.export import load_by_manifest
from tasks.images.settings import Preprocessing
from tasks.ingest import Listing, image_reader
from tasks.models.bundle import Bundle
from tasks.models.runtimes import faster_runtime
from tasks.record import FileReference, Record, digest_of

Pixels = NDArray[np.uint8]

IMAGES_IN_HAND = 256
DECODE_THREADS = 4

_PREFIXES = ("logit_", "faster_logit_")
"""Of the columns of each precision."""


class UnseenPredictions(Record):
    """A bundle's word on every content that one of its members never saw, nor a copy of it."""

    bundle: FileReference = Field(description="The bundle's bundle.json.")
    logits: FileReference = Field(
        description="unseen_logits/: a row a content: sha256, unseen_by (the members that never saw it), "
        "logit_<class>, their mean, and where there is a faster precision faster_logit_<class>."
    )
    contents: int = Field(ge=0, description="Contents that some member may judge.")
    runtime: str | None = Field(description="What computed the faster precision; None without one.")

    def in_words(self) -> str:
        """How many images were judged by whom."""
        return f"{self.contents} distinct images judged by members that saw neither them nor a copy"


@dataclass(frozen=True)
class UnseenLogits:
    """By content: the members that never saw it, and the mean of their logits, float32 (n, classes) a precision."""

    sha256s: tuple[str, ...]
    unseen_by: tuple[tuple[int, ...], ...]
    logits: tuple[NDArray[np.float32], ...]

    def by_file(self, table: CatalogueTable) -> tuple[pd.DataFrame, list[NDArray[np.float64]]]:
        """The rows of the catalogue that may be judged, conflicts left out, and their logits, float64 (n, classes)."""
        place = {sha256: row for row, sha256 in enumerate(self.sha256s)}
        frame = table.frame[~table.frame["conflict"] & table.frame["sha256"].isin(place)]
        frame = frame.sort_values("path", ignore_index=True)
        rows = [place[sha256] for sha256 in frame["sha256"]]
        return frame, [values[rows].astype(np.float64) for values in self.logits]

    def judges(self, rows: pd.DataFrame, n_members: int) -> NDArray[np.bool_]:
        """Which members (n, n_members) said what is said of rows that `by_file` answered."""
        place = {sha256: row for row, sha256 in enumerate(self.sha256s)}
        flags = np.zeros((len(rows), n_members), np.bool_)
        for row, sha256 in enumerate(rows["sha256"]):
            flags[row, list(self.unseen_by[place[sha256]])] = True
        return flags

    def to_parquet(self, classes: Sequence[str]) -> bytes:
        """As `UnseenPredictions.logits` says."""
        columns: dict[str, object] = {
            "sha256": self.sha256s,
            "unseen_by": [list(some) for some in self.unseen_by],
        }
        for prefix, values in zip(_PREFIXES, self.logits, strict=False):
            columns |= {f"{prefix}{name}": values[:, place] for place, name in enumerate(classes)}
        return pd.DataFrame(columns).to_parquet(index=False)

    @classmethod
    def from_parquet(cls, data: bytes, classes: Sequence[str]) -> "UnseenLogits":
        """What `to_parquet` wrote."""
        frame = pd.read_parquet(io.BytesIO(data))
        told = [[f"{prefix}{name}" for name in classes] for prefix in _PREFIXES]
        return cls(
            tuple(frame["sha256"]),
            tuple(tuple(map(int, some)) for some in frame["unseen_by"]),
            tuple(frame[names].to_numpy(np.float32) for names in told if set(names) <= set(frame.columns)),
        )


@stage("predict", version=1, state=ledger_state)
def predict_unseen(
    run: Run,
    listing: Listing,
    catalogue: Catalogue,
    bundle: FileReference,
    *,
    faster: bool = True,
    one_member: bool = False,
) -> UnseenPredictions:
    """Let each image be judged by the members that saw neither it nor a copy of it.

    A bundle is known by its `bundle.json`, in a run or in the registry. With `faster`, in bfloat16 too where this
    machine is fast in it: the same images, decoded once. With `one_member`, no image is judged by several: see
    `Bundle.predict_unseen`.
    """
    runtime = faster_runtime() if faster else None
    bundles = [load_by_manifest(run, bundle)]
    if runtime is not None:
        bundles.append(load_by_manifest(run, bundle, "bfloat16"))
    said = logits_of_unseen(run, listing, read_catalogue(run, catalogue), bundles, one_member=one_member)
    asked = digest_of([bundle.sha256, catalogue.digest, faster, one_member])[
        :16
    ]  # a run asks its opponent too
    return UnseenPredictions(
        bundle=bundle,
        logits=run.write(f"unseen_logits/{asked}.parquet", said.to_parquet(bundles[0].manifest.classes)),
        contents=len(said.sha256s),
        runtime=runtime,
    )


def read_unseen(run: Run, catalogue: Catalogue, predictions: UnseenPredictions) -> UnseenLogits:
    """The logits that a record of predictions refers to."""
    return UnseenLogits.from_parquet(run.read(predictions.logits), catalogue.classes)


def logits_of_unseen(
    run: Run, listing: Listing, table: CatalogueTable, bundles: Sequence[Bundle], *, one_member: bool = False
) -> UnseenLogits:
    """What members say of the contents that they never saw; conflicts are left out.

    The `bundles` are one and the same, computed in different precisions: each image is read and decoded once. Copies of
    one content are predicted once.
    """
    contents = table.contents
    read = image_reader(run, listing)
    copies = copies_ever(run, table)
    report, total = progress(), len(contents)
    first = bundles[0]
    logits = [np.zeros((total, len(first.manifest.classes)), np.float32) for _ in bundles]
    unseen = np.zeros((total, len(first.manifest.members)), dtype=np.bool_)
    with ThreadPoolExecutor(DECODE_THREADS) as pool:
        for start in range(0, total, IMAGES_IN_HAND):
            some = contents.iloc[start : start + IMAGES_IN_HAND]
            images = _stacked(pool.map(lambda path: first.prepared(read(path)), some["path"]), len(some))
            groups = some["group"].tolist()
            stop = start + len(some)
            for bundle, values in zip(bundles, logits, strict=True):
                values[start:stop], unseen[start:stop] = bundle.predict_unseen(
                    images,
                    some["sha256"].tolist(),
                    groups,
                    [copies[group] for group in groups],
                    folds=some["fold"].tolist() if one_member else None,
                )
            report(stop, total, "images")
    judged = unseen.any(axis=1)
    return UnseenLogits(
        tuple(contents["sha256"].to_numpy()[judged]),
        tuple(tuple(np.flatnonzero(row).tolist()) for row in unseen[judged]),
        tuple(values[judged] for values in logits),
    )


def _stacked(images: Iterable[Mapping[Preprocessing, Pixels]], n: int) -> dict[Preprocessing, Pixels]:
    """From each of n images, prepared in several ways, to uint8 (n, S, S, 3) for each way."""
    stacked: dict[Preprocessing, Pixels] = {}
    for row, image in enumerate(images):
        for way, pixels in image.items():
            stacked.setdefault(way, np.empty((n, *pixels.shape), np.uint8))[row] = pixels
    return stacked
