"""Every image looked at once, by content: facts of it, or the reason why it is not used."""

import hashlib
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from pyarrow.lib import ArrowException

from tasks.copies.duplicates import dhash
from tasks.images.decode import decoded
from tasks.images.reject_reasons import ImageRejected, RejectReason
from tasks.images.settings import DECODER, DecodeLimits
from tasks.record import digest_of
from tasks.stores.fetch_index import MAX_FILE_BYTES
from tasks.stores.layout import INSPECTIONS
from tasks.stores.workspace import Workspace
from tasks.work.pool import map_in_order
from tasks.work.progress import Progress, silent

CHECK_THREADS: Final = 4


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file of the store with what is said about it, both forms of `group` as `PatientKeys` makes them.

    `unlabelled_because` matters without a label.
    """

    path: str
    sha256: str
    size_bytes: int
    label: str | None
    group: str | None = None
    split: Literal["train", "test"] | None = None
    unlabelled_because: str = "no label"
    group_as_written: str | None = None


@dataclass(frozen=True, slots=True)
class Inspection:
    """Facts of a decoded content; `pixel_sha256` covers shape and RGB values, `dhash` is hexadecimal.

    `mean_intensity` is the mean grey level 0..255, `border_intensity` that of the outermost ring, 5 % of the
    shorter side wide.
    """

    pixel_sha256: str
    format: str
    width: int
    height: int
    mode: str
    multi_frame: bool
    dhash: str
    mean_intensity: float
    border_intensity: float


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a content is not used."""

    reason: RejectReason
    detail: str


FACTS: Final = tuple(field.name for field in fields(Inspection))
"""Names of what is looked at, in order."""

KEPT_TOGETHER: Final = 2048


@dataclass(frozen=True)
class InspectedImages:
    """The files given, and what was found by content digest; an unlabelled file's content need not be among it."""

    files: tuple[ImageFile, ...]
    found: Mapping[str, Inspection | Rejection]

    @property
    def sha256s(self) -> tuple[str, ...]:
        """Digests of the distinct, labelled, usable contents, ascending."""
        usable = (file.sha256 for file in self.files if file.label is not None)
        return tuple(sorted({sha for sha in usable if isinstance(self.found[sha], Inspection)}))


def inspect(data: bytes, limits: DecodeLimits) -> Inspection:
    """Decode a file and gather its facts.

    Raises:
        ImageRejected: it cannot be used.
    """
    with decoded(data, limits) as image:
        digest = hashlib.sha256(f"{image.width}x{image.height} RGB8\n".encode())
        digest.update(image.pixels.data)
        mean, border = _intensities(image.pixels)
        return Inspection(
            pixel_sha256=digest.hexdigest(),
            format=image.format,
            width=image.width,
            height=image.height,
            mode=image.mode,
            multi_frame=image.multi_frame,
            dhash=dhash(image.pixels).tobytes().hex(),
            mean_intensity=mean,
            border_intensity=border,
        )


def _intensities(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean grey level 0..255 of uint8 (H, W, 3) RGB, and that of its outermost ring."""
    grey = np.asarray(Image.fromarray(pixels).convert("L"))
    ring = max(1, round(0.05 * min(grey.shape)))
    inner = grey[ring:-ring, ring:-ring]
    total, within = int(grey.sum(dtype=np.int64)), int(inner.sum(dtype=np.int64))
    return total / grey.size, (total - within) / (grey.size - inner.size)


def inspect_images(
    files: Sequence[ImageFile],
    read: Callable[[str], bytes],
    limits: DecodeLimits,
    *,
    known: Mapping[str, Inspection | Rejection] | None = None,
    keep: Callable[[Mapping[str, Inspection | Rejection]], None] | None = None,
    threads: int = 4,
    progress: Progress = silent,
) -> InspectedImages:
    """Look at each distinct labelled content once.

    `read(path)` gives a file's bytes; what it raises ends the work, since a store that fails says nothing
    about an image. `known` are results of earlier runs with the same limits, which are taken over; `keep` is given
    the new ones as they come, at most KEPT_TOGETHER at a time, so that a killed run goes on where it stopped.
    """
    paths: dict[str, str] = {}
    for file in sorted(files, key=lambda file: file.path):
        if file.label is not None:
            paths.setdefault(file.sha256, file.path)
    found = {sha256: known[sha256] for sha256 in paths if sha256 in known} if known else {}
    found |= {file.sha256: _too_large(file) for file in files if file.size_bytes > MAX_FILE_BYTES}
    unknown = [sha256 for sha256 in paths if sha256 not in found]
    results = map_in_order(lambda sha256: _look(read(paths[sha256]), limits), unknown, threads)
    fresh: dict[str, Inspection | Rejection] = {}
    try:
        for done, (sha256, result) in enumerate(zip(unknown, results, strict=True), start=1):
            found[sha256] = fresh[sha256] = result
            if keep is not None and len(fresh) == KEPT_TOGETHER:
                keep(fresh)
                fresh = {}
            progress(done, len(unknown), "images")
    finally:
        if keep is not None and fresh:
            keep(fresh)
    return InspectedImages(tuple(files), found)


def _too_large(file: ImageFile) -> Rejection:
    """Of a file that was not read."""
    return Rejection(RejectReason.too_large, f"{file.size_bytes} bytes, more than {MAX_FILE_BYTES}")


def _look(data: bytes, limits: DecodeLimits) -> Inspection | Rejection:
    try:
        return inspect(data, limits)
    except ImageRejected as rejected:
        return Rejection(rejected.reason, rejected.detail)


def inspections_to_parquet(found: Mapping[str, Inspection | Rejection]) -> bytes:
    """What was found, as a file to keep for the next run."""
    rows = [
        (sha256, "", "", *_values(result))
        if isinstance(result, Inspection)
        else (sha256, str(result.reason), result.detail, *_values(_NOTHING))
        for sha256, result in sorted(found.items())
    ]
    return pd.DataFrame(rows, columns=["sha256", "reason", "detail", *FACTS]).to_parquet(index=False)


def inspections_from_parquet(data: bytes) -> dict[str, Inspection | Rejection]:
    """Read what `inspections_to_parquet` wrote."""
    frame = pd.read_parquet(io.BytesIO(data))
    found: dict[str, Inspection | Rejection] = {}
    for name in ("format", "mode"):  # one string for all that are equal
        frame[name] = pd.Series([sys.intern(value) for value in frame[name]], dtype=object)
    for sha256, reason, detail, *facts in frame.itertuples(index=False, name=None):
        found[sha256] = Rejection(RejectReason(reason), detail) if reason else Inspection(*facts)
    return found


def _values(facts: Inspection) -> tuple[object, ...]:
    return tuple(getattr(facts, name) for name in FACTS)


_NOTHING: Final = Inspection("", "", 0, 0, "", False, "", 0.0, 0.0)


def inspected_files(
    workspace: Workspace,
    files: Sequence[ImageFile],
    read: Callable[[str], bytes],
    limits: DecodeLimits,
    progress: Progress = silent,
) -> InspectedImages:
    """Look at each content that no earlier run with the same limits looked at."""
    made_by = digest_of([limits.model_dump(mode="json"), FACTS, DECODER])[:16]
    wanted = {file.sha256 for file in files}
    known: dict[str, Inspection | Rejection] = {}
    for path in workspace.list(INSPECTIONS.folder(limits=made_by)):
        try:
            kept = inspections_from_parquet(workspace.read(path))
        except (ArrowException, OSError, ValueError):
            workspace.delete(path)  # damaged: what it held is looked at again
            continue
        known.update((sha256, found) for sha256, found in kept.items() if sha256 in wanted)

    def keep(found: Mapping[str, Inspection | Rejection]) -> None:
        path = INSPECTIONS.path(limits=made_by, digest=digest_of(sorted(found))[:32])
        workspace.write(path, inspections_to_parquet(found))

    return inspect_images(
        files, read, limits, known=known, keep=keep, threads=CHECK_THREADS, progress=progress
    )
