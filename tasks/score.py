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
from pydantic import Field, ValidationError

from tasks.data.settings import ImagesSource
from tasks.engine.run import Run, block_options
from tasks.engine.stage import progress, stage
from tasks.errors import ConfigError, WorkspaceError
from tasks.images.reject_reasons import RejectReason
from tasks.models.bundle import Bundle, Prediction, Rejected, load_bundle
from tasks.record import FileReference, Frozen, Record, digest_of
from tasks.stores.datastore import Blob, Datastore
from tasks.stores.fetch import ContentCache
from tasks.stores.fetch_index import MAX_FILE_BYTES, FetchedImage
from tasks.stores.layout import SCORES_CLAIM, SCORES_CSV, SCORES_PARQUET, SCORES_PART
from tasks.stores.workspace import Workspace

PARQUET, CSV, CLAIM = SCORES_PARQUET, SCORES_CSV, SCORES_CLAIM
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

    def in_words(self) -> str:
        """How many images were scored, by label."""
        labels = ", ".join(f"{count} {label}" for label, count in sorted(self.by_label.items()))
        return f"{self.images} images, {self.scored_now} scored now: {labels}; {self.rejected} unusable"


class Scoring(Frozen):
    """Whose scores a place holds: kept beside them, so that no other scoring takes the place."""

    images: str = Field(description="URL of the images' store.")
    model: str = Field(description="Name of the model; its version may change.")


@stage("score", version=1, reusable=False)
def score_images(run: Run, source: ImagesSource, bundle_uri: str, bundle_block: str | None) -> Scores:
    """Score every image of a store. `run.workspace` is where the scores are put, and nobody else's.

    Raises:
        ConfigError: other scores are there, or files that are called as scores are.
    """
    bundle = load_bundle(bundle_uri, block_options(bundle_block), run.cache_root)
    store = Datastore(source.url, block_options(source.block))
    workspace = run.open_workspace()
    workspace.check_writable()
    _claim(workspace, Scoring(images=store.url, model=bundle.manifest.name))
    parts = _Parts(workspace, bundle, ContentCache(run.cache_root, store), store.url)
    blobs = store.blobs()
    scores = _join(run, parts, blobs)
    parts.remove_stale()
    return scores


def _claim(workspace: Workspace, scoring: Scoring) -> None:
    """Take a place for scores, or find that it is taken by the same ones."""
    cure = "give another place to put the scores, or remove there what is no longer wanted"
    if not workspace.exists(CLAIM):
        there = [name for name in (PARQUET, CSV) if workspace.exists(name)]
        if there:
            raise ConfigError(
                f"{workspace.uri(there[0])} is there already, and nothing says whose it is", cure=cure
            )
        if workspace.write_new(CLAIM, scoring.model_dump_json(indent=2).encode()):
            return
    try:
        found = Scoring.model_validate_json(workspace.read(CLAIM))
    except ValidationError as error:
        raise ConfigError(f"{workspace.uri(CLAIM)} does not say whose scores these are", cure=cure) from error
    if found != scoring:
        raise ConfigError(
            f"{workspace.url} holds the scores of {found.model} on {found.images}, not of {scoring.model} on "
            f"{scoring.images}",
            cure=cure,
        )


class _Parts:
    """Scores of a few images each, kept as they are made: in a folder of the model's version, by what they are of."""

    def __init__(self, workspace: Workspace, bundle: Bundle, cache: ContentCache, url: str) -> None:
        self._workspace, self._bundle, self._cache, self._url = workspace, bundle, cache, url
        self._folder = f"parts/{digest_of(bundle.manifest.model_dump(mode='json'))[:32]}"
        self._used: set[str] = set()
        self.schema = _schema(bundle)
        self.scored_now = 0

    def of(self, blobs: Sequence[Blob]) -> pa.Table:
        """The scores of some images; made where nothing keeps them, or another scoring has just removed them."""
        content = digest_of([self._url, [[blob.path, blob.version] for blob in blobs]])[:32]
        part = f"{self._folder}/{content}.parquet"
        self._used.add(part)
        data = self._kept(part)
        if data is None:
            data = _score_part(self._bundle, self._cache, blobs, self.schema)
            self._workspace.write(part, data)
            self.scored_now += len(blobs)
        return pq.read_table(io.BytesIO(data), schema=self.schema)

    def remove_stale(self) -> None:
        """Remove parts of images or versions that no longer count; nothing else below the folder is touched."""
        for path in self._workspace.list("parts"):
            if SCORES_PART.fullmatch(path) and path not in self._used:
                self._workspace.delete(path)

    def _kept(self, part: str) -> bytes | None:
        try:
            return self._workspace.read(part) if self._workspace.exists(part) else None
        except WorkspaceError:
            if self._workspace.exists(part):
                raise
            return None


def _chunks(blobs: Sequence[Blob]) -> Iterator[Sequence[Blob]]:
    return (blobs[start : start + IMAGES_A_PART] for start in range(0, len(blobs), IMAGES_A_PART))


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
    """Each image with what is said of it; few files are in memory at once, and few bytes."""
    for some in _few(images):
        if some[0].is_too_large:
            detail = f"{some[0].size_bytes} bytes, more than {MAX_FILE_BYTES}"
            yield some[0], Rejected(RejectReason.too_large, detail)
        else:
            yield from zip(some, bundle.predict_bytes([cache.read(image) for image in some]), strict=True)


def _few(images: Sequence[FetchedImage]) -> Iterator[Sequence[FetchedImage]]:
    """At most IMAGES_AT_ONCE, of at most MAX_FILE_BYTES together; one that is too large is alone."""
    some: list[FetchedImage] = []
    for image in images:
        if some and (
            len(some) == IMAGES_AT_ONCE
            or sum(one.size_bytes for one in some) + image.size_bytes > MAX_FILE_BYTES
        ):
            yield some
            some = []
        some.append(image)
    if some:
        yield some


def _join(run: Run, parts: _Parts, blobs: Sequence[Blob]) -> Scores:
    """Score part by part into one Parquet and one CSV file; memory holds one part at a time."""
    labels: dict[str, int] = {}
    images = rejected = 0
    with tempfile.TemporaryDirectory(prefix="lightbox-score-") as folder:
        parquet, csv = Path(folder) / PARQUET, Path(folder) / CSV
        with (
            pq.ParquetWriter(parquet, parts.schema) as parquet_writer,
            pa_csv.CSVWriter(csv, parts.schema) as csv_writer,
        ):
            for some in _chunks(blobs):
                table = parts.of(some)
                parquet_writer.write_table(table)
                csv_writer.write_table(table)
                images += table.num_rows
                rejected += table.num_rows - table["reason"].null_count
                counts = pd.Series(table["Scored Labels"].to_pylist()).value_counts()
                for label, count in counts.items():
                    labels[str(label)] = labels.get(str(label), 0) + int(count)
                progress()(images, len(blobs), "images")
        references = [_upload(run, file) for file in (parquet, csv)]
    return Scores(
        images=images,
        rejected=rejected,
        scored_now=parts.scored_now,
        by_label=labels,
        parquet=references[0],
        csv=references[1],
    )


def _upload(run: Run, file: Path) -> FileReference:
    run.open_workspace().upload(file, file.name)
    with file.open("rb") as content:
        return FileReference(path=file.name, sha256=hashlib.file_digest(content, "sha256").hexdigest())
