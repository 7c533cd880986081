"""Ingest: list the store, fetch what changed, verify digests."""

import io
from collections.abc import Callable

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from tasks.data.datastore import Datastore
from tasks.data.fetch import ContentCache
from tasks.data.labels import label_blobs
from tasks.record import FileReference, Record, digest_of
from tasks.run import Run, block_options, write_file
from tasks.stage import progress, stage

LISTING_COLUMNS = ["path", "sha256", "size_bytes", "label", "group", "split"]


class ImagesSource(BaseModel):
    """Where the images and their labels are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        min_length=1,
        title="Images",
        description="fsspec URL or folder: az://container/folder, s3://..., gs://..., /data/scans.",
    )
    block: str | None = Field(
        default=None, description="Name of a Lightbox Datastore block with the secrets for this URL."
    )
    manifest: str | None = Field(
        default=None,
        description="URL or path of a CSV, Parquet or JSON-lines table with the columns path, label and "
        "optionally group and split. Left out, each folder is a class.",
    )


class Listing(Record):
    """The images of a store at one moment, by content."""

    url: str = Field(description="Where they are.")
    block: str | None = Field(description="Datastore block with the secrets for it.")
    images: int = Field(ge=0, description="Images with a label.")
    unlabelled: int = Field(ge=0, description="Images without one, kept apart.")
    table: FileReference = Field(description="Parquet: " + ", ".join(LISTING_COLUMNS))


class Ingested(Record):
    """A listing and what it took to make it."""

    listing: Listing = Field(description="What there is.")
    transferred: int = Field(ge=0, description="Images that had to be fetched.")


@stage("ingest", version=1, retries=2, reusable=False)
def ingest(run: Run, source: ImagesSource) -> Ingested:
    """List the store, fetch what changed since the last time and verify it by digest."""
    store = Datastore(source.url, block_options(source.block))
    labelled = label_blobs(store, store.blobs(), source.manifest)
    cache = ContentCache(run.cache_root, store)
    fetched = cache.fetch([row.blob for row in labelled], progress=progress())
    rows = [
        (image.path, image.sha256, image.size_bytes, row.label, row.group, row.split)
        for image, row in zip(fetched, labelled, strict=True)
    ]
    frame = pd.DataFrame(rows, columns=LISTING_COLUMNS).sort_values("path", ignore_index=True)
    data = io.BytesIO()
    frame.to_parquet(data, index=False)
    content = data.getvalue()
    workspace = run.open_workspace()
    table = write_file(workspace, f"datasets/{run.name}/listings/{_listing_name(frame)}.parquet", content)
    unlabelled = int(frame["label"].isna().sum())
    listing = Listing(
        url=store.url, block=source.block, images=len(frame) - unlabelled, unlabelled=unlabelled, table=table
    )
    return Ingested(listing=listing, transferred=cache.transferred)


def read_listing(run: Run, listing: Listing) -> pd.DataFrame:
    """The listing's table, one row an image."""
    return pd.read_parquet(io.BytesIO(run.open_workspace().read(listing.table.path)))


def image_reader(run: Run, listing: Listing) -> Callable[[str], bytes]:
    """Reads an image's bytes by its path in the store, verified; fetches it first where this machine lacks it."""
    store = Datastore(listing.url, block_options(listing.block))
    cache = ContentCache(run.cache_root, store)
    return cache.read


def _listing_name(frame: pd.DataFrame) -> str:
    return digest_of(frame.astype(object).where(frame.notna(), None).values.tolist())[:16]
