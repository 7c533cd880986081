"""Labels in and out without Label Studio: one decision of a reviewer, files of other programs, exports."""

import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pandas as pd
from pydantic import Field

from tasks.data.addresses import without_query
from tasks.data.inspection import ImageFile, Inspection, inspected_files
from tasks.data.label_table import read_manifest
from tasks.data.labels import GIVEN
from tasks.data.spelling import spelling_key
from tasks.data.table_records import table_records
from tasks.engine.run import Run, block_options
from tasks.engine.stage import stage
from tasks.errors import LabellingError, ManifestMismatch
from tasks.images.settings import DecodeLimits
from tasks.ingest import Listing, image_reader, read_listing
from tasks.label_begin import document_of
from tasks.labelling.decision import DIGEST, Decision, DecisionStore, decision_id
from tasks.labelling.formats import (
    NAMED,
    ExportFormat,
    ExportRow,
    ForeignLabel,
    exported,
    placed,
    read_coco,
)
from tasks.labelling.label_studio_exports import is_label_studio, read_label_studio
from tasks.labelling.standing import Standing, read_standing
from tasks.record import FileReference, Record
from tasks.stores.datastore import Datastore
from tasks.stores.layout import LISTING

COMMAND_LINE: Final = "command line"


class Imported(Record):
    """What a file held."""

    labels: int = Field(ge=0, description="Answers in it.")
    new: int = Field(ge=0, description="Of these, answers that were not known yet.")

    def in_words(self) -> str:
        """How many labels are new."""
        return f"{self.labels} labels, {self.new} of them new"


class Exported(Record):
    """Labels as a file."""

    file: FileReference = Field(description="The file, in the run's folder.")
    labels: int = Field(ge=0, description="Images in it.")

    def in_words(self) -> str:
        """How many labels."""
        return f"{self.labels} labels"


def decide(run: Run, image: str, *, label: str | None, by: str, review: bool) -> Decision:
    """Record what a person says of one image, by its path or digest; without a label it is rejected.

    Raises: LabellingError when no listing of the data set has the image, or a class is none of its classes.
    """
    listing = _last_listing(run)
    sha256, path = _image(run, listing, image)
    if label is not None:
        _check_class(run, listing, label)
    now = datetime.now(UTC)
    decision = Decision(
        id=decision_id(COMMAND_LINE, sha256, label, by, review, now.isoformat()),
        sha256=sha256,
        path=path,
        answer="reject" if label is None else "label",
        label=label,
        by=by,
        source="person",
        review=review,
        time=now,
        project=COMMAND_LINE,
    )
    DecisionStore(run.open_workspace(), run.name).append([decision])
    return decision


@stage("import-labels", version=1, reusable=False)
def import_labels(run: Run, listing: Listing, file: Path, by: str) -> Imported:
    """Take the labels of a file as decisions of `by`, or of those whom it names.

    CSV, Parquet, JSON lines (also Azure's), COCO, or Label Studio's exports (JSON, JSON_MIN, CSV, TSV). The same file
    again changes nothing.

    Raises: ManifestMismatch when it cannot be read or its images are not in the store.
    """
    frame = read_listing(run, listing)
    digests = {str(path): str(sha256) for path, sha256 in zip(frame["path"], frame["sha256"], strict=True)}
    now = datetime.now(UTC)
    decisions = []
    foreign = _of_known_classes(run, frame, _foreign(run, file, listing, frame), file)
    for said, sha256, path in placed(foreign, digests, str(file), listing.url):
        name = said.by or by
        told = (sha256, said.label, said.skipped, name, said.time)
        decisions.append(
            Decision(
                id=decision_id("import", file.name, *told),
                sha256=sha256,
                path=path,
                answer="skip" if said.skipped else ("reject" if said.label is None else "label"),
                label=None if said.skipped else said.label,
                by=name,
                source="person",
                time=said.time or now,
                project=f"import of {file.name}",
            )
        )
    new = DecisionStore(run.open_workspace(), run.name).append(decisions)
    return Imported(labels=len(decisions), new=len(new))


@stage("export-labels", version=1, reusable=False)
def export_labels(run: Run, listing: Listing, kind: ExportFormat) -> Exported:
    """The labels that count now, of all images that have one, as a file."""
    standing = read_standing(run.open_workspace(), run.name)
    rows = list(_export_rows(run, listing, standing))
    document = document_of(run)
    classes = document.read().settings.classes if document.exists() else ()
    return Exported(file=run.write(f"labels.{kind}", exported(rows, kind, classes)), labels=len(rows))


def _foreign(run: Run, file: Path, listing: Listing, frame: pd.DataFrame) -> list[ForeignLabel]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ManifestMismatch(
            f"{file} cannot be read ({error.strerror})", cure="check its path and permissions"
        ) from error
    content = _json(data)
    if isinstance(content, dict) and {"annotations", "images"} <= content.keys():
        return read_coco(content, str(file))
    if content is None and not data.startswith(b"PAR1"):
        rows = [row for _, row in table_records(data, str(file))]
        content = rows if is_label_studio(rows) else None
    if is_label_studio(content):
        return read_label_studio(content, str(file), _known_classes(run, frame))
    store = Datastore(listing.url, block_options(listing.block))
    table = read_manifest(store, store.blobs(), str(file)).rows
    return [
        ForeignLabel(path, row.label, sha256=row.sha256)
        for path, row in table.items()
        if row.label is not None
    ]


def _json(data: bytes) -> Any:
    """The content of a JSON file; None where it is another kind, JSON lines among them."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _of_known_classes(
    run: Run, listing: pd.DataFrame, labels: list[ForeignLabel], file: Path
) -> list[ForeignLabel]:
    """The labels by the names of the classes; where nothing is known yet, as they are.

    Raises: LabellingError where a label is none of the classes.
    """
    known = _known_classes(run, listing)
    if not known:
        return labels
    written = {spelling_key(name): name for name in sorted(known, reverse=True)}
    names = {label: label if label in known else written.get(spelling_key(label)) for label in _said(labels)}
    strange = Counter(one.label for one in labels if one.label is not None and names[one.label] is None)
    if strange:
        first = next(one.image for one in labels if one.label in strange)
        told = ", ".join(f"{label!r} ({count})" for label, count in strange.most_common(NAMED))
        raise LabellingError(
            f"{strange.total()} labels of {file} are no class of {run.name} ({', '.join(sorted(known))}): {told}, "
            f"such as of {without_query(first)}",
            cure="correct the file, or add a class with `lightbox label start --classes ...`",
        )
    return [one if one.label is None else replace(one, label=names[one.label]) for one in labels]


def _said(labels: list[ForeignLabel]) -> set[str]:
    return {one.label for one in labels if one.label is not None}


def _export_rows(run: Run, listing: Listing, standing: Standing) -> Iterator[ExportRow]:
    frame = read_listing(run, listing).drop_duplicates("path")
    labelled = frame[frame["label"].notna()]
    files = [
        ImageFile(path, sha256, int(size_bytes), label)
        for path, sha256, size_bytes, label in labelled[["path", "sha256", "size_bytes", "label"]].itertuples(
            index=False
        )
    ]
    found = inspected_files(run.open_workspace(), files, image_reader(run, listing), DecodeLimits()).found
    for file in files:
        facts = found[file.sha256]
        if not isinstance(facts, Inspection):
            continue
        source, by, time = _origin(standing, file.sha256)
        yield ExportRow(
            path=file.path,
            url=f"{listing.url.rstrip('/')}/{file.path}",
            sha256=file.sha256,
            label=str(file.label),
            source=source,
            by=by,
            time=time,
            format=facts.format.lower(),
            width=facts.width,
            height=facts.height,
        )


def _origin(standing: Standing, sha256: str) -> tuple[str, str, str]:
    """Where a label is from, by whom, and when."""
    verdict = standing.verdicts.get(sha256)
    if verdict is None or verdict.state != "labelled":
        return "given", "", ""
    own = [
        one
        for one in standing.decisions
        if one.sha256 == sha256 and one.label == verdict.label and one.source == "person"
    ]
    if verdict.reviewed_by is not None:
        own = [one for one in own if one.review]
    names = ", ".join(sorted({one.by for one in own}))
    return ("review" if verdict.reviewed_by else "person"), names, own[-1].time.isoformat() if own else ""


def _last_listing(run: Run) -> pd.DataFrame:
    """Path, digest and labels of every image when the data set was last looked at."""
    workspace = run.open_workspace()
    listings = workspace.files(LISTING.folder(name=run.name))
    if not listings:
        raise LabellingError(
            f"{workspace.url} has no data set {run.name}",
            cure="run `lightbox catalogue` or `lightbox label start` first",
        )
    newest = max(listings, key=lambda blob: (blob.modified_seconds or 0.0, blob.path))
    return pd.read_parquet(
        io.BytesIO(workspace.read(newest.path)), columns=["path", "sha256", "label", GIVEN]
    )


def _image(run: Run, listing: pd.DataFrame, image: str) -> tuple[str, str]:
    """Digest and path of an image, by either."""
    rows = listing[listing["sha256" if DIGEST.fullmatch(image) else "path"] == image]
    if rows.empty:
        raise LabellingError(
            f"no image {image} in the last listing of {run.name} ({len(listing)} images)",
            cure="give its path below the store, as reports show it, or its SHA-256",
        )
    return str(rows["sha256"].iloc[0]), str(rows["path"].iloc[0])


def _check_class(run: Run, listing: pd.DataFrame, label: str) -> None:
    """A slip of the pen must not make a class: only classes of the labelling or of the data are taken."""
    known = _known_classes(run, listing)
    if label not in known:
        raise LabellingError(
            f"{label!r} is no class of {run.name} ({', '.join(sorted(known))})",
            cure="name one of these, or add a class with `lightbox label start --classes ...`",
        )


def _known_classes(run: Run, listing: pd.DataFrame) -> set[str]:
    """Classes of the labels that there are, and of the labelling."""
    document = document_of(run)
    known = {str(name) for column in ("label", GIVEN) for name in listing[column].dropna()}
    if document.exists():
        known.update(document.read().settings.classes)
    return known
