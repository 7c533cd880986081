"""Every image looked at once, by content: facts of it, or the reason why it is not used."""

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from tasks.data.duplicates import dhash
from tasks.data.images import DecodeLimits, ImageRejected, RejectReason, decode
from tasks.data.pool import map_in_order
from tasks.data.progress import Progress, silent


@dataclass(frozen=True)
class ImageFile:
    """A file of the store with what is said about it."""

    path: str
    sha256: str
    size_bytes: int
    label: str | None
    group: str | None = None
    split: Literal["train", "test"] | None = None


@dataclass(frozen=True)
class Inspection:
    """Facts of a decoded content; `pixel_sha256` covers shape and RGB values, `dhash` is hexadecimal."""

    pixel_sha256: str
    format: str
    width: int
    height: int
    mode: str
    multi_frame: bool
    dhash: str


@dataclass(frozen=True)
class Rejection:
    """Why a content is not used."""

    reason: RejectReason
    detail: str


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
    image = decode(data, limits)
    digest = hashlib.sha256(f"{image.width}x{image.height} RGB8\n".encode())
    digest.update(image.pixels.data)
    return Inspection(
        pixel_sha256=digest.hexdigest(),
        format=image.format,
        width=image.width,
        height=image.height,
        mode=image.mode,
        multi_frame=image.multi_frame,
        dhash=dhash(image.pixels).tobytes().hex(),
    )


def inspect_images(
    files: Sequence[ImageFile],
    read: Callable[[str], bytes],
    limits: DecodeLimits,
    *,
    known: Mapping[str, Inspection | Rejection] | None = None,
    threads: int = 4,
    progress: Progress = silent,
) -> InspectedImages:
    """Look at each distinct labelled content once.

    `read(path)` gives a file's bytes; what it raises ends the work, since a store that fails says nothing
    about an image. `known` are results of earlier runs with the same limits, which are taken over.
    """
    paths: dict[str, str] = {}
    for file in sorted(files, key=lambda file: file.path):
        if file.label is not None:
            paths.setdefault(file.sha256, file.path)
    found = {sha256: known[sha256] for sha256 in paths if sha256 in known} if known else {}
    unknown = [sha256 for sha256 in paths if sha256 not in found]
    results = map_in_order(lambda sha256: _look(read(paths[sha256]), limits), unknown, threads)
    for done, (sha256, result) in enumerate(zip(unknown, results, strict=True), start=1):
        found[sha256] = result
        progress(done, len(unknown), "images")
    return InspectedImages(tuple(files), found)


def _look(data: bytes, limits: DecodeLimits) -> Inspection | Rejection:
    try:
        return inspect(data, limits)
    except ImageRejected as rejected:
        return Rejection(rejected.reason, rejected.detail)


def inspections_to_parquet(found: Mapping[str, Inspection | Rejection]) -> bytes:
    """What was found, as a file to keep for the next run."""
    rows = [
        {"sha256": sha256, "reason": "", "detail": "", **vars(result)}
        if isinstance(result, Inspection)
        else {**_NOTHING, "sha256": sha256, **vars(result)}
        for sha256, result in sorted(found.items())
    ]
    data = io.BytesIO()
    pd.DataFrame(rows, columns=["sha256", "reason", "detail", *_NOTHING]).to_parquet(data, index=False)
    return data.getvalue()


def inspections_from_parquet(data: bytes) -> dict[str, Inspection | Rejection]:
    """Read what `inspections_to_parquet` wrote."""
    frame = pd.read_parquet(io.BytesIO(data))
    found: dict[str, Inspection | Rejection] = {}
    for sha256, reason, detail, *facts in frame.itertuples(index=False, name=None):
        found[sha256] = Rejection(RejectReason(reason), detail) if reason else Inspection(*facts)
    return found


_NOTHING = vars(Inspection("", "", 0, 0, "", False, ""))
