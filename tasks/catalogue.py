"""Catalogue: check every image, find copies, group them, and give each group its fold for ever."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from tasks.data.catalogue import ContentFeatures, NearCopyRule, build_catalogue
from tasks.data.catalogue_table import CatalogueSummary, CatalogueTable
from tasks.data.folds import FoldLedger
from tasks.data.images import DecodeLimits, decode, prepare
from tasks.data.inspection import (
    ImageFile,
    InspectedImages,
    inspect_images,
    inspections_from_parquet,
    inspections_to_parquet,
)
from tasks.data.pool import map_in_order
from tasks.data.training_view import Protocol
from tasks.data.usability import check_usable
from tasks.data.workspace import VersionedDocument, Workspace
from tasks.errors import ConfigError
from tasks.ingest import LISTING_COLUMNS, Listing, image_reader, read_listing
from tasks.record import FileReference, Record, digest_of
from tasks.run import Run, write_file
from tasks.stage import progress, stage

CROSS_VALIDATION_BELOW = 2_000
CHECK_THREADS = 4


class CatalogueSettings(BaseModel):
    """How images are checked and kept apart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_reject_fraction: float = Field(
        default=0.1, ge=0, le=1, description="Unusable images above this share stop the run."
    )
    n_folds: int = Field(default=5, ge=3, le=20, description="Folds of the ledger, fixed at the first run.")
    protocol: Protocol | None = Field(
        default=None,
        description="How images are kept apart for evaluation. Left out: a split given with the data is "
        f"honoured; else cross-validation below {CROSS_VALIDATION_BELOW} images, a hold-out from there on.",
    )
    decode: DecodeLimits = Field(default=DecodeLimits(), description="What counts as a usable image.")
    copies: NearCopyRule = Field(default=NearCopyRule(), description="What counts as a near copy.")


class Catalogue(Record):
    """The checked data set: facts, and where its table is."""

    digest_of_rows: str = Field(
        description="Digest of the rows: the same data give the same one in any store."
    )
    classes: tuple[str, ...] = Field(description="Class names, alphabetical: class indices everywhere.")
    positive_class: str | None = Field(description="The finding, with two classes.")
    protocol: Protocol = Field(description="How images are kept apart for evaluation.")
    n_folds: int = Field(description="Folds of the ledger.")
    decode: DecodeLimits = Field(description="What counted as a usable image.")
    table: FileReference = Field(description="catalogue.parquet, one row a usable image.")
    rejects: FileReference = Field(description="rejects.parquet, one row an unusable image with its reason.")
    summary: CatalogueSummary = Field(description="Counts.")


def ledger_of(run: Run) -> VersionedDocument:
    """The fold ledger of the run's data set."""
    return VersionedDocument(run.open_workspace(), f"datasets/{run.name}/folds")


def _ledger_state(run: Run, *_: object, **__: object) -> str:
    content = ledger_of(run).read()[1]
    return hashlib.sha256(content or b"").hexdigest()


@stage("catalogue", version=1, state=_ledger_state)
def catalogue(
    run: Run, listing: Listing, settings: CatalogueSettings, positive_class: str | None
) -> Catalogue:
    """Check every image, find exact and near copies, and assign folds by the ledger."""
    table = _table(run, listing, settings)
    check_usable(table, positive_class, settings.max_reject_fraction)
    finding = _finding(table, positive_class)
    folder = f"datasets/{run.name}/{table.digest[:16]}"
    workspace = run.open_workspace()
    rows, rejects = table.to_parquet()
    summary = table.summary()
    write_file(workspace, f"{folder}/summary.json", summary.model_dump_json(indent=2).encode())
    return Catalogue(
        digest_of_rows=table.digest,
        classes=table.classes,
        positive_class=finding,
        protocol=_protocol(table, settings),
        n_folds=settings.n_folds,
        decode=settings.decode,
        table=write_file(workspace, f"{folder}/catalogue.parquet", rows),
        rejects=write_file(workspace, f"{folder}/rejects.parquet", rejects),
        summary=summary,
    )


def read_catalogue(run: Run, record: Catalogue) -> CatalogueTable:
    """The catalogue's table."""
    workspace = run.open_workspace()
    return CatalogueTable.from_parquet(workspace.read(record.table.path), workspace.read(record.rejects.path))


def _table(run: Run, listing: Listing, settings: CatalogueSettings) -> CatalogueTable:
    listed = read_listing(run, listing)[LISTING_COLUMNS].values.tolist()
    files = [
        ImageFile(path, sha256, size_bytes, _text(label), _text(group), _split(split))
        for path, sha256, size_bytes, label, group, split in listed
    ]
    read = image_reader(run, listing)
    inspected = _inspected(run.open_workspace(), files, read, settings.decode)
    features = _features(run, inspected, read, settings.decode)
    made: list[CatalogueTable] = []

    def extended(content: bytes | None) -> bytes:
        ledger = FoldLedger.from_bytes(content, settings.n_folds)
        table, grown = build_catalogue(inspected, ledger, features=features, rule=settings.copies)
        check_usable(table, None, settings.max_reject_fraction)
        made.append(table)
        return grown.to_bytes()

    ledger_of(run).update(extended)
    return made[-1]


def _inspected(
    workspace: Workspace, files: list[ImageFile], read: Callable[[str], bytes], limits: DecodeLimits
) -> InspectedImages:
    """Look at each content that no earlier run with the same limits looked at."""
    path = f"cache/inspections/{digest_of(limits.model_dump(mode='json'))[:16]}.parquet"
    known = inspections_from_parquet(workspace.read(path)) if workspace.exists(path) else {}
    inspected = inspect_images(files, read, limits, known=known, threads=CHECK_THREADS, progress=progress())
    if not inspected.found.keys() <= known.keys():
        workspace.write(path, inspections_to_parquet({**known, **inspected.found}))
    return inspected


def _features(
    run: Run, inspected: InspectedImages, read: Callable[[str], bytes], limits: DecodeLimits
) -> ContentFeatures:
    """Deep features of the usable contents, by which shifted and annotated copies are found."""
    from tasks.training.embeddings import embed

    sha256s = inspected.sha256s
    paths = {file.sha256: file.path for file in inspected.files}
    values = embed(run.open_workspace(), sha256s, _WholePictures(paths, read, limits), progress=progress())
    return ContentFeatures(sha256s, values)


class _WholePictures:
    """Pictures as the feature network wants them, decoded when they are asked for."""

    def __init__(self, paths: dict[str, str], read: Callable[[str], bytes], limits: DecodeLimits) -> None:
        self._paths, self._read, self._limits = paths, read, limits

    def take(self, sha256s: Sequence[str]) -> NDArray[np.uint8]:
        """Uint8 (n, S, S, 3) RGB, in the order asked for."""
        return np.stack(list(map_in_order(self._picture, sha256s, CHECK_THREADS)))

    def _picture(self, sha256: str) -> NDArray[np.uint8]:
        from tasks.training.embeddings import embedding_preprocessing

        return prepare(
            decode(self._read(self._paths[sha256]), self._limits).pixels, embedding_preprocessing()
        )


def _finding(table: CatalogueTable, positive_class: str | None) -> str | None:
    """The positive class; with two classes it must be said, since a wrong guess turns recall round."""
    if len(table.classes) == 2 and positive_class is None:
        raise ConfigError(
            f"there are two classes, {' and '.join(table.classes)}, and no positive_class is named",
            cure="say which one is the finding, for example --positive-class "
            f"{table.classes[1]}: its recall is what the gate judges",
        )
    return positive_class


def _protocol(table: CatalogueTable, settings: CatalogueSettings) -> Protocol:
    if settings.protocol is not None:
        return settings.protocol
    if (table.frame["split"] == "test").any():
        return "given_split"
    return "cross_validation" if table.images < CROSS_VALIDATION_BELOW else "holdout"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _split(value: object) -> Literal["train", "test"] | None:
    return value if value in ("train", "test") else None
