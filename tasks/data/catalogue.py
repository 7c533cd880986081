"""The catalogue: one row an image file, with its content's group of copies and fold; and what is not used, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from tasks.data.catalogue_table import (
    CATALOGUE_COLUMNS,
    REJECT_COLUMNS,
    CatalogueSummary,
    CatalogueTable,
    typed,
)
from tasks.data.duplicates import HASH_BYTES, near_pairs_by_features, near_pairs_by_hash
from tasks.data.folds import Content, FoldLedger, assign_folds, hashed_key
from tasks.data.images import RejectReason
from tasks.data.inspection import (
    ImageFile,
    InspectedImages,
    Inspection,
    Rejection,
    inspect,
    inspect_images,
    inspections_from_parquet,
    inspections_to_parquet,
)

__all__ = [
    "CATALOGUE_COLUMNS",
    "CatalogueSummary",
    "CatalogueTable",
    "ContentFeatures",
    "ImageFile",
    "InspectedImages",
    "Inspection",
    "NearCopyRule",
    "Rejection",
    "build_catalogue",
    "inspect",
    "inspect_images",
    "inspections_from_parquet",
    "inspections_to_parquet",
]


class NearCopyRule(BaseModel):
    """When two images count as copies of one another."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_hash_distance: int = Field(
        default=20,
        ge=0,
        le=64,
        description="Bits of 256 by which the difference hashes of copies may differ.",
    )
    min_feature_cosine: float = Field(
        default=0.55,
        ge=0.0,
        le=1.0,
        description="Cosine of standardised deep features above which images are copies.",
    )


@dataclass(frozen=True)
class ContentFeatures:
    """Deep features by content digest: `values` is float32 (len(sha256s), d)."""

    sha256s: tuple[str, ...]
    values: NDArray[np.float32]


def build_catalogue(
    inspected: InspectedImages,
    ledger: FoldLedger,
    *,
    features: ContentFeatures | None = None,
    rule: NearCopyRule | None = None,
) -> tuple[CatalogueTable, FoldLedger]:
    """Group copies, find conflicts and assign folds; returns the table and the ledger to keep.

    Content under two labels, by bytes or by pixels, is a conflict as a whole. Near copies with two labels
    stay, as `label_disagreements` of the summary. `features` may cover a part of the contents only.
    """
    contents = _contents(inspected)
    nodes = [*contents, *ledger.absent(content.sha256 for content in contents)]
    assigned = assign_folds(nodes, _near_pairs(nodes, features, rule or NearCopyRule()), ledger)
    place = {content.sha256: i for i, content in enumerate(contents)}
    rows: list[dict[str, Any]] = []
    rejects: list[tuple[str, str, str, str]] = []
    for file in inspected.files:
        refusal = _refusal(file, inspected)
        if refusal is not None:
            rejects.append((file.path, file.sha256, str(refusal.reason), refusal.detail))
            continue
        i = place[file.sha256]
        facts = {name: value for name, value in vars(inspected.found[file.sha256]).items() if name != "dhash"}
        rows.append(
            {
                "path": file.path,
                "sha256": file.sha256,
                **facts,
                "size_bytes": file.size_bytes,
                "label": file.label,
                "group": assigned.groups[i],
                "fold": int(assigned.folds[i]),
                "split": file.split or "",
                "conflict": contents[i].label is None,
                "straddles": ",".join(str(fold) for fold in assigned.straddles[i]),
            }
        )
    frame = typed(pd.DataFrame(rows, columns=list(CATALOGUE_COLUMNS)), CATALOGUE_COLUMNS)
    refused = typed(pd.DataFrame(rejects, columns=list(REJECT_COLUMNS)), REJECT_COLUMNS)
    table = CatalogueTable(
        frame.sort_values(["path", "label"], ignore_index=True),
        refused.sort_values("path", ignore_index=True),
        ledger.n_folds,
    )
    return table, assigned.ledger


def _refusal(file: ImageFile, inspected: InspectedImages) -> Rejection | None:
    if file.label is None:
        return Rejection(RejectReason.label_missing, "no label")
    found = inspected.found[file.sha256]
    return found if isinstance(found, Rejection) else None


def _contents(inspected: InspectedImages) -> list[Content]:
    """The distinct usable contents, by digest; those under several labels lose theirs."""
    files: dict[str, list[ImageFile]] = {}
    labels: dict[str, set[str]] = {}
    for file in inspected.files:
        found = inspected.found.get(file.sha256)
        if file.label is not None and isinstance(found, Inspection):
            files.setdefault(file.sha256, []).append(file)
            labels.setdefault(found.pixel_sha256, set()).add(file.label)
    return [_content(sha256, files[sha256], inspected, labels) for sha256 in sorted(files)]


def _content(
    sha256: str, files: Sequence[ImageFile], inspected: InspectedImages, labels: dict[str, set[str]]
) -> Content:
    found = inspected.found[sha256]
    assert isinstance(found, Inspection)  # noqa: S101 - `_contents` takes no others
    agreed = labels[found.pixel_sha256]
    splits: set[Literal["train", "test"]] = {file.split for file in files if file.split is not None}
    return Content(
        sha256=sha256,
        pixel_sha256=found.pixel_sha256,
        dhash=found.dhash,
        keys=tuple(sorted({hashed_key(file.group) for file in files if file.group})),
        label=next(iter(agreed)) if len(agreed) == 1 else None,
        split="test" if "test" in splits else ("train" if splits else None),
    )


def _near_pairs(
    contents: Sequence[Content], features: ContentFeatures | None, rule: NearCopyRule
) -> NDArray[np.int64]:
    packed = bytes.fromhex("".join(content.dhash for content in contents))
    hashes = np.frombuffer(packed, dtype=np.uint8).reshape(-1, HASH_BYTES)
    pairs = near_pairs_by_hash(hashes, rule.max_hash_distance)
    if features is None:
        return pairs
    place = {content.sha256: i for i, content in enumerate(contents)}
    known = [(row, place[sha256]) for row, sha256 in enumerate(features.sha256s) if sha256 in place]
    rows, places = np.array(known, dtype=np.int64).reshape(-1, 2).T
    return np.concatenate(
        [pairs, places[near_pairs_by_features(features.values[rows], rule.min_feature_cosine)]]
    )
