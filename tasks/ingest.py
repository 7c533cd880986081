"""Ingest: list the store, fetch what changed, verify digests."""

import io
import logging
from collections.abc import Callable, Sequence

import pandas as pd
from pydantic import Field

from tasks.data.labels import (
    AS_WRITTEN,
    GIVEN,
    IN_BOTH,
    LISTING_COLUMNS,
    SUBGROUP,
    UNLABELLED_BECAUSE,
    LabelledBlob,
    label_blobs,
)
from tasks.data.patient_keys import PatientKeys
from tasks.data.settings import ImagesSource
from tasks.data.spelling import counted, join_spellings
from tasks.engine.run import Run, block_options, write_lasting
from tasks.engine.stage import progress, stage
from tasks.erasure.machine_cache import forget_here
from tasks.erasure.records import Forgotten
from tasks.errors import ManifestMismatch
from tasks.labelling.standing import LabelledByPeople, read_standing
from tasks.record import FileReference, Record, digest_of
from tasks.stores.datastore import Datastore
from tasks.stores.fetch import ContentCache
from tasks.stores.fetch_index import FetchedImage
from tasks.stores.layout import LISTING

NAMED_FILES = 5

logger = logging.getLogger("lightbox")


class Listing(Record):
    """The images of a store at one moment, by content."""

    url: str = Field(description="Where they are.")
    block: str | None = Field(description="Datastore block with the secrets for it.")
    images: int = Field(ge=0, description="Images with a label.")
    unlabelled: int = Field(ge=0, description="Images without one, kept apart.")
    labelled: LabelledByPeople | None = Field(
        default=None, description="What people decided of the labels, if they decided anything."
    )
    table: FileReference = Field(
        description="Parquet: "
        + ", ".join([*LISTING_COLUMNS, IN_BOTH, GIVEN, UNLABELLED_BECAUSE])
        + f", and the columns that were asked for, as {SUBGROUP}..."
    )


class Ingested(Record):
    """A listing and what it took to make it."""

    listing: Listing = Field(description="What there is.")
    transferred: int = Field(ge=0, description="Images that had to be fetched.")
    warnings: tuple[str, ...] = Field(
        default=(),
        description="What a person should know of how labels and groups were read, a sentence each.",
    )
    forgotten: int = Field(
        default=0, ge=0, description="Files left out because they were forgotten: the store still has them."
    )

    def in_words(self) -> str:
        """How many images there are, and how many were fetched."""
        unlabelled = f", {self.listing.unlabelled} without a label" if self.listing.unlabelled else ""
        return f"{self.listing.images} labelled images{unlabelled}; {self.transferred} fetched"


@stage("ingest", version=1, retries=2, reusable=False)
def ingest(run: Run, source: ImagesSource) -> Ingested:
    """List the store, fetch what changed since the last time and verify it by digest.

    What people decided of an image (`labels/` in the workspace) counts instead of the label that came with it.
    """
    store = Datastore(source.url, block_options(source.block))
    files = label_blobs(store, store.blobs(), source.manifest, source.labels)
    labelled = files.rows
    cache = ContentCache(run.cache_root, store)
    fetched = cache.fetch([row.blob for row in labelled], progress=progress())
    _check_digests(fetched, labelled, source.manifest)
    standing = read_standing(run.open_workspace(), run.name)
    said = [standing.label_of(image.sha256, row.label) for image, row in zip(fetched, labelled, strict=True)]
    spellings = join_spellings(
        counted([*(label for label, _ in said), *(row.label for row in labelled)]),
        preferred={one.label for one in standing.decisions if one.label is not None},
        join=source.labels.join_spellings,
    )
    keys = PatientKeys(run.open_workspace())
    erased = _erased(run, store.url, keys, fetched, labelled)
    rows: list[tuple[object, ...]] = []
    spelt: list[str | None] = []
    for image, row, (label, why_none) in zip(fetched, labelled, said, strict=True):
        if image.sha256 in erased or (label is None and image.is_too_large):
            continue  # of the latter, nobody could be asked about it
        counts, given = (None if one is None else spellings.names[one] for one in (label, row.label))
        group = keys.of(row.group) if row.group else None
        subgroups = row.subgroups or (None,) * len(source.labels.subgroup_columns)
        rest = (counts, group, row.split, row.in_both, given, why_none, *subgroups)
        rows.append((image.path, image.sha256, image.size_bytes, *rest))
        spelt.append(keys.as_written(row.group) if row.group else None)
    columns = [*LISTING_COLUMNS, IN_BOTH, GIVEN, UNLABELLED_BECAUSE]
    columns += [f"{SUBGROUP}{name}" for name in source.labels.subgroup_columns]
    frame = pd.DataFrame(rows, columns=columns)
    if frame["group"].tolist() != spelt:
        frame[AS_WRITTEN] = spelt
    frame = frame.sort_values("path", ignore_index=True)
    path = LISTING.path(name=run.name, digest=_listing_name(frame))
    table = write_lasting(run.open_workspace(), path, frame.to_parquet(index=False))
    unlabelled = int(frame["label"].isna().sum())
    listing = Listing(
        url=store.url,
        block=source.block,
        images=len(frame) - unlabelled,
        unlabelled=unlabelled,
        labelled=standing.figures(),
        table=table,
    )
    warnings = (*files.told, *(told for told in spellings.told if told not in files.told))
    return Ingested(listing=listing, transferred=cache.transferred, warnings=warnings, forgotten=len(erased))


def _erased(
    run: Run,
    url: str,
    keys: PatientKeys,
    fetched: Sequence[FetchedImage],
    labelled: Sequence[LabelledBlob],
) -> frozenset[str]:
    """What was forgotten and the store still has; this machine loses it."""
    forgotten = Forgotten(run.open_workspace())
    erased = forgotten.among(image.sha256 for image in fetched) | {
        image.sha256
        for image, row in zip(fetched, labelled, strict=True)
        if row.group and forgotten.has_group(run.name, keys.of(row.group))
    }
    if erased:
        forget_here(run.cache_root, erased)
        logger.warning("%s still holds %d forgotten images: left out. Remove them there.", url, len(erased))
    return erased


def read_listing(run: Run, listing: Listing) -> pd.DataFrame:
    """The listing's table, one row an image."""
    return pd.read_parquet(io.BytesIO(run.read(listing.table)))


def image_reader(run: Run, listing: Listing) -> Callable[[str], bytes]:
    """Reads an image's bytes by its path in the store, verified; fetches it first where this machine lacks it."""
    store = Datastore(listing.url, block_options(listing.block))
    cache = ContentCache(run.cache_root, store)
    return cache.read


def _check_digests(
    fetched: Sequence[FetchedImage], labelled: Sequence[LabelledBlob], manifest: str | None
) -> None:
    """Refuse a manifest that was written for other contents.

    Raises: ManifestMismatch.
    """
    other = [
        image.path
        for image, row in zip(fetched, labelled, strict=True)
        if row.sha256 is not None and row.sha256 != image.sha256 and not image.is_too_large
    ]
    if other:
        named = ", ".join(other[:NAMED_FILES]) + (", ..." if len(other) > NAMED_FILES else "")
        raise ManifestMismatch(
            f"{len(other)} files have another SHA-256 than {manifest} says: {named}",
            cure="put back the files that the manifest was written for, or write it again",
        )


def _listing_name(frame: pd.DataFrame) -> str:
    return digest_of(frame.astype(object).where(frame.notna(), None).values.tolist())[:16]
