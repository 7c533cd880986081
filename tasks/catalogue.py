"""Catalogue: check every image, find copies, group them, and give each group its fold for ever."""

import hashlib
import io
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from tasks.copies.copy_store import CopyStore
from tasks.copies.feature_scale import ContentFeatures
from tasks.copies.found_copies import FoundCopies
from tasks.data.build import BuiltCatalogue, assemble_catalogue, contents_to_compare
from tasks.data.catalogue_table import CatalogueSummary, CatalogueTable, typed
from tasks.data.folds import FoldLedger
from tasks.data.inspection import (
    ImageFile,
    InspectedImages,
    inspected_files,
)
from tasks.data.labels import AS_WRITTEN, LISTING_COLUMNS, UNLABELLED_BECAUSE
from tasks.data.pair_table import NEAR_PAIR_COLUMNS
from tasks.data.patient_keys import PatientKeys
from tasks.data.settings import CROSS_VALIDATION_BELOW, CatalogueSettings, Protocol
from tasks.data.spelling import spelling_key
from tasks.data.training_view import MemberPlan, plan_members
from tasks.data.usability import check_usable
from tasks.engine.run import Run, write_lasting
from tasks.engine.stage import progress, stage
from tasks.errors import ConfigError
from tasks.images.settings import DecodeLimits
from tasks.ingest import Listing, image_reader, read_listing
from tasks.record import FileReference, Record
from tasks.stores.layout import CATALOGUE_ROWS, FOLD_LEDGER, catalogue_path
from tasks.stores.workspace import VersionedDocument


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
    near_pairs: FileReference = Field(
        description="near_pairs.parquet, one row a pair of contents that are copies or may be, with how sure that is."
    )
    summary: CatalogueSummary = Field(description="Counts.")

    def in_words(self) -> str:
        """What can be used, what copies what, and what was turned away."""
        found = self.summary
        rejected = ", ".join(f"{count} {reason}" for reason, count in found.rejects.items())
        counts = [f"{count} {label}" for label, count in found.images_by_class.items()]
        return (
            f"{found.images} usable images ({', '.join(counts)}) in {found.groups} groups; "
            f"{found.exact_copies} exact copies, {found.near_copies} near copies; "
            f"rejected: {rejected or 'none'}"
        )

    @property
    def positive_index(self) -> int | None:
        """Index of the positive class, where there is one."""
        return None if self.positive_class is None else self.classes.index(self.positive_class)

    @property
    def plans(self) -> tuple[MemberPlan, ...]:
        """The members that are trained, and what each holds out."""
        return plan_members(self.protocol, self.n_folds)

    def label_indices(self, labels: Iterable[str]) -> NDArray[np.int64]:
        """Class indices int64 (n,) of labels."""
        return np.array([self.classes.index(label) for label in labels], dtype=np.int64)


def ledger_of(run: Run) -> VersionedDocument:
    """The fold ledger of the run's data set."""
    return VersionedDocument(run.open_workspace(), FOLD_LEDGER.folder(name=run.name))


def ledger_state(run: Run) -> str:
    """Digest of the fold ledger, for stages whose result depends on what it remembers."""
    content = ledger_of(run).read()[1]
    return hashlib.sha256(content or b"").hexdigest()


@stage("catalogue", version=3, state=ledger_state)
def build_catalogue(
    run: Run, listing: Listing, settings: CatalogueSettings, positive_class: str | None
) -> Catalogue:
    """Check every image, find exact and near copies, and assign folds by the ledger."""
    built = _built(run, listing, settings)
    table = built.table
    positive_class = _as_written(positive_class, table.classes)
    check_usable(table, positive_class, settings.max_reject_fraction)
    finding = _finding(table, positive_class)
    place = partial(catalogue_path, run.name, table.digest)
    workspace = run.open_workspace()
    rows, rejects = table.to_parquet()
    summary = table.summary(copy_questions=int(built.near_pairs["asked"].sum()))
    write_lasting(workspace, place("summary.json"), summary.model_dump_json(indent=2).encode())
    return Catalogue(
        digest_of_rows=table.digest,
        classes=table.classes,
        positive_class=finding,
        protocol=_protocol(table, settings),
        n_folds=settings.n_folds,
        decode=settings.decode,
        table=write_lasting(workspace, place(CATALOGUE_ROWS), rows),
        rejects=write_lasting(workspace, place("rejects.parquet"), rejects),
        near_pairs=write_lasting(
            workspace, place("near_pairs.parquet"), built.near_pairs.to_parquet(index=False)
        ),
        summary=summary,
    )


def read_catalogue(run: Run, record: Catalogue) -> CatalogueTable:
    """The catalogue's table."""
    return CatalogueTable.from_parquet(run.read(record.table), run.read(record.rejects))


def read_near_pairs(run: Run, record: Catalogue) -> pd.DataFrame:
    """The pairs of contents that count as copies, or are asked about, with NEAR_PAIR_COLUMNS."""
    return typed(pd.read_parquet(io.BytesIO(run.read(record.near_pairs))), NEAR_PAIR_COLUMNS)


def copies_ever(run: Run, table: CatalogueTable) -> dict[str, list[str]]:
    """The contents of each group, those included that are gone from the store: a member may have learnt from them."""
    keys = PatientKeys(run.open_workspace())
    ledger = FoldLedger.from_bytes(ledger_of(run).read()[1], table.n_folds, keys)
    ever: dict[str, list[str]] = {}
    for sha256, entry in ledger.entries.items():
        ever.setdefault(entry.group, []).append(sha256)
    return {
        str(group): [
            copy for name in sorted({ledger.entries[sha256].group for sha256 in now}) for copy in ever[name]
        ]
        for group, now in table.contents.groupby("group")["sha256"]
    }


def _built(run: Run, listing: Listing, settings: CatalogueSettings) -> BuiltCatalogue:
    files, keys = _files(run, listing), PatientKeys(run.open_workspace())
    read = image_reader(run, listing)
    inspected = inspected_files(run.open_workspace(), files, read, settings.decode, progress())
    copies = CopyStore(run.open_workspace(), run.name)
    embedded: dict[frozenset[str], ContentFeatures] = {}
    made: list[BuiltCatalogue] = []
    labels = {file.path: file.label for file in files if file.label is not None}
    answers = _answers(settings.not_copies, files)

    def extended(content: bytes | None) -> bytes:
        ledger = FoldLedger.from_bytes(content, settings.n_folds, keys)
        if any(file.group for file in files):
            ledger = ledger.keyed_by(keys)
        nodes = contents_to_compare(inspected, ledger)
        gone = frozenset(node.sha256 for node in nodes) - frozenset(inspected.sha256s)
        if not settings.copies.search:
            found = FoundCopies()
        else:
            if gone not in embedded:
                embedded[gone] = _features(run, inspected, sorted(gone), read, settings.decode)
            found = copies.find(nodes, embedded[gone], settings.copies, answers, progress())
        built = assemble_catalogue(inspected, ledger, copies=found, rule=settings.copies)
        check_usable(built.table, None, settings.max_reject_fraction, labels=labels)
        made.append(built)
        return built.ledger.to_bytes()

    ledger_of(run).update(extended)
    return made[-1]


def _files(run: Run, listing: Listing) -> tuple[ImageFile, ...]:
    frame = read_listing(run, listing)
    written = AS_WRITTEN if AS_WRITTEN in frame else "group"
    columns = (frame[name] for name in [*LISTING_COLUMNS, UNLABELLED_BECAUSE, written])
    return tuple(
        ImageFile(
            path, sha256, size_bytes, _text(label), _text(group), _split(split), why_none, _text(as_written)
        )
        for path, sha256, size_bytes, label, group, split, why_none, as_written in zip(*columns, strict=True)
    )


def _answers(not_copies: Iterable[str], files: Iterable[ImageFile]) -> frozenset[frozenset[str]]:
    """The contents of which a person said that they are no copies; a path that is gone says nothing."""
    content = {file.path: file.sha256 for file in files}
    pairs = (answer.split(" | ", maxsplit=1) for answer in not_copies)
    return frozenset(
        frozenset((content[a], content[b]))
        for a, b in ((one.strip(), other.strip()) for one, other in pairs)
        if a in content and b in content
    )


def _features(
    run: Run,
    inspected: InspectedImages,
    gone: Sequence[str],
    read: Callable[[str], bytes],
    limits: DecodeLimits,
) -> ContentFeatures:
    """Deep features of the usable contents, and of those gone, by which shifted and annotated copies are found."""
    from tasks.training.embeddings import WholePictures, embed

    paths = {file.sha256: file.path for file in inspected.files}
    pictures = WholePictures(paths, read, limits)
    return embed(run.open_workspace(), inspected.sha256s, pictures, gone=gone, progress=progress())


def _finding(table: CatalogueTable, positive_class: str | None) -> str | None:
    """The positive class; with two classes it must be said, since a wrong guess turns recall round."""
    if len(table.classes) == 2 and positive_class is None:
        raise ConfigError(
            f"there are two classes, {' and '.join(table.classes)}, and no positive_class is named",
            cure="say which one is the finding, for example --positive-class "
            f"{table.classes[1]}: its recall is what the gate judges",
        )
    return positive_class


def _as_written(named: str | None, classes: Sequence[str]) -> str | None:
    """The class that is meant, also where it is written in another way than the labels that count."""
    if named is None or named in classes:
        return named
    return next((label for label in classes if spelling_key(label) == spelling_key(named)), named)


def _protocol(table: CatalogueTable, settings: CatalogueSettings) -> Protocol:
    if settings.protocol is not None:
        return settings.protocol
    if (table.frame["split"] == "test").any():
        return "given_split"
    return "cross_validation" if table.images < CROSS_VALIDATION_BELOW else "holdout"


def _text(value: object) -> str | None:
    """One string for all that are equal, since few labels stand for many files."""
    return sys.intern(value) if isinstance(value, str) else None


def _split(value: object) -> Literal["train", "test"] | None:
    return "train" if value == "train" else ("test" if value == "test" else None)
