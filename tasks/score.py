"""Score: what a bundle says of every image of a store, as Parquet and CSV; goes on where it was stopped."""

import hashlib
import io
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from pydantic import Field

from tasks.data.settings import ImagesSource
from tasks.engine.run import Run, block_options
from tasks.engine.stage import progress, stage
from tasks.models.bundle import Bundle, Prediction, Rejected, load_bundle
from tasks.record import FileReference, Record, digest_of
from tasks.stores.datastore import Blob, Datastore
from tasks.stores.fetch import ContentCache
from tasks.stores.fetch_index import FetchedImage

IMAGES_A_PART = 256
IMAGES_AT_ONCE = 32


class Scores(Record):
    """Where the scores are, and how many there are."""

    images: int = Field(ge=0, description="Rows: one an image.")
    rejected: int = Field(ge=0, description="Rows with a reason instead of a label.")
    scored_now: int = Field(ge=0, description="Images that this run had to score; the rest was kept.")
    by_label: dict[str, int] = Field(description="Images by predicted label.")
    parquet: FileReference = Field(description="scores.parquet.")
    csv: FileReference = Field(description="scores.csv.")


@stage("score", version=1, reusable=False)
def score_images(run: Run, source: ImagesSource, bundle_uri: str, bundle_block: str | None) -> Scores:
    """Score every image of a store. `run.workspace` is where the scores are put."""
    bundle = load_bundle(bundle_uri, block_options(bundle_block), run.cache_root)
    store = Datastore(source.url, block_options(source.block))
    blobs = store.blobs()
    cache = ContentCache(run.cache_root, store)
    workspace = run.open_workspace()
    workspace.check_writable()
    schema = _schema(bundle)
    model = digest_of(bundle.manifest.model_dump(mode="json"))
    parts: list[str] = []
    scored_now = done = 0
    for some in _chunks(blobs):
        part = f"parts/{_part_name(model, store.url, some)}.parquet"
        if not workspace.exists(part):
            workspace.write(part, _score_part(bundle, cache, some, schema))
            scored_now += len(some)
        parts.append(part)
        done += len(some)
        progress()(done, len(blobs), "images")
    scores = _join(run, parts, schema)
    for stale in set(workspace.list("parts")) - set(parts):
        workspace.delete(stale)
    return scores.model_copy(update={"scored_now": scored_now})


def _chunks(blobs: Sequence[Blob]) -> Iterator[Sequence[Blob]]:
    return (blobs[start : start + IMAGES_A_PART] for start in range(0, len(blobs), IMAGES_A_PART))


def _part_name(model: str, url: str, blobs: Sequence[Blob]) -> str:
    return digest_of([model, url, [[blob.path, blob.version] for blob in blobs]])[:32]


def _schema(bundle: Bundle) -> pa.Schema:
    """Columns as the Designer's Score Image Model names them, with the model and the reason of a refusal."""
    probabilities = [(f"Scored Probabilities_{name}", pa.float64()) for name in bundle.manifest.classes]
    return pa.schema(
        [
            ("path", pa.string()),
            ("sha256", pa.string()),
            *probabilities,
            ("Scored Labels", pa.string()),
            ("reason", pa.string()),
            ("detail", pa.string()),
        ]
    )


def _score_part(bundle: Bundle, cache: ContentCache, blobs: Sequence[Blob], schema: pa.Schema) -> bytes:
    rows = []
    for image, said in _said(bundle, cache, cache.fetch(blobs)):
        row: dict[str, object] = {"path": image.path, "sha256": image.sha256}
        if isinstance(said, Rejected):
            row |= {"reason": str(said.reason), "detail": said.detail}
        else:
            row |= {f"Scored Probabilities_{name}": value for name, value in said.probabilities.items()}
            row["Scored Labels"] = said.label
        rows.append({name: row.get(name) for name in schema.names})
    data = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), data)
    return data.getvalue()


def _said(
    bundle: Bundle, cache: ContentCache, images: Sequence[FetchedImage]
) -> Iterator[tuple[FetchedImage, Prediction | Rejected]]:
    """Each image with what is said of it; few files are in memory at once, however large they are."""
    for start in range(0, len(images), IMAGES_AT_ONCE):
        some = images[start : start + IMAGES_AT_ONCE]
        yield from zip(some, bundle.predict_bytes([cache.read(image) for image in some]), strict=True)


def _join(run: Run, parts: Sequence[str], schema: pa.Schema) -> Scores:
    """Stream the parts into one Parquet and one CSV file; memory holds one part at a time."""
    workspace = run.open_workspace()
    labels: dict[str, int] = {}
    images = rejected = 0
    with tempfile.TemporaryDirectory(prefix="lightbox-score-") as folder:
        parquet, csv = Path(folder) / "scores.parquet", Path(folder) / "scores.csv"
        with pq.ParquetWriter(parquet, schema) as parquet_writer, pa_csv.CSVWriter(csv, schema) as csv_writer:
            for part in parts:
                table = pq.read_table(io.BytesIO(workspace.read(part)), schema=schema)
                parquet_writer.write_table(table)
                csv_writer.write_table(table)
                images += table.num_rows
                rejected += table.num_rows - table["reason"].null_count
                counts = pd.Series(table["Scored Labels"].to_pylist()).value_counts()
                for label, count in counts.items():
                    labels[str(label)] = labels.get(str(label), 0) + int(count)
        references = [_upload(run, file) for file in (parquet, csv)]
    return Scores(
        images=images,
        rejected=rejected,
        scored_now=0,
        by_label=labels,
        parquet=references[0],
        csv=references[1],
    )


def _upload(run: Run, file: Path) -> FileReference:
    run.open_workspace().upload(file, file.name)
    with file.open("rb") as content:
        return FileReference(path=file.name, sha256=hashlib.file_digest(content, "sha256").hexdigest())
