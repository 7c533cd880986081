"""The catalogue: one row an image file, with its content's group of copies and fold; and what is not used, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import pandas as pd

from tasks.copies.content import Content
from tasks.copies.found_copies import FoundCopies, copies_among
from tasks.copies.settings import NearCopyRule
from tasks.data.catalogue_table import CATALOGUE_COLUMNS, REJECT_COLUMNS, CatalogueTable, typed
from tasks.data.folds import FoldLedger, assign_folds
from tasks.data.inspection import FACTS, ImageFile, InspectedImages, Inspection, Rejection
from tasks.data.pair_table import pair_table
from tasks.images.reject_reasons import RejectReason

_OF_FILE: Final = ("path", "sha256", "size_bytes", "label", "split")
_OF_CONTENT: Final = ("group", "fold", "conflict", "straddles")
_FACTS: Final = tuple(name for name in FACTS if name != "dhash")


@dataclass(frozen=True)
class BuiltCatalogue:
    """A catalogue, the pairs of copies among its contents (NEAR_PAIR_COLUMNS), and the ledger to keep."""

    table: CatalogueTable
    near_pairs: pd.DataFrame
    ledger: FoldLedger


def assemble_catalogue(
    inspected: InspectedImages,
    ledger: FoldLedger,
    *,
    copies: FoundCopies | None = None,
    rule: NearCopyRule | None = None,
) -> BuiltCatalogue:
    """Group copies, find conflicts and assign folds.

    `copies` are those among `contents_to_compare`; left out, they are found by hash alone. Content under two labels, by
    bytes or by pixels, is a conflict as a whole. Likely copies of two given groups or labels are no group: they are
    asked about, and not reported on meanwhile.
    """
    rule = rule or NearCopyRule()
    nodes = contents_to_compare(inspected, ledger)
    contents = nodes[: len(inspected.sha256s)]
    copies = copies or copies_among(nodes, rule)
    assigned = assign_folds(nodes, copies.pairs.joined, ledger, copies.pairs.asked)
    place = {content.sha256: i for i, content in enumerate(contents)}
    columns: dict[str, list[object]] = {name: [] for name in (*_OF_FILE, *_OF_CONTENT, *_FACTS)}
    rejects: list[tuple[str, str, str, str]] = []
    for file in inspected.files:
        refusal = _refusal(file, inspected)
        if refusal is not None:
            rejects.append((file.path, file.sha256, str(refusal.reason), refusal.detail))
            continue
        i = place[file.sha256]
        facts = inspected.found[file.sha256]
        of_content = (
            assigned.groups[i],
            int(assigned.folds[i]),
            contents[i].label is None,
            ",".join(str(fold) for fold in assigned.straddles[i]),
        )
        of_file = (file.path, file.sha256, file.size_bytes, file.label, file.split or "")
        row = (*of_file, *of_content, *(getattr(facts, name) for name in _FACTS))
        for column, value in zip(columns.values(), row, strict=True):
            column.append(value)
    # Column by column, so that no value is in memory twice.
    frame = pd.DataFrame(
        {name: pd.Series(columns.pop(name), dtype=dtype) for name, dtype in CATALOGUE_COLUMNS.items()}
    )
    refused = typed(pd.DataFrame(rejects, columns=list(REJECT_COLUMNS)), REJECT_COLUMNS)
    table = CatalogueTable(
        frame.sort_values(["path", "label"], ignore_index=True),
        refused.sort_values("path", ignore_index=True),
        ledger.n_folds,
    )
    first_path: dict[str, str] = {}
    for path, sha256 in table.frame[["path", "sha256"]].itertuples(index=False, name=None):
        first_path.setdefault(sha256, path)
    paths = [first_path[content.sha256] for content in contents]
    return BuiltCatalogue(table, pair_table(contents, paths, copies, assigned.groups, rule), assigned.ledger)


def contents_to_compare(inspected: InspectedImages, ledger: FoldLedger) -> list[Content]:
    """The distinct usable contents, by digest, and then those of earlier runs that are gone."""
    contents = _contents(inspected)
    return [*contents, *ledger.absent(content.sha256 for content in contents)]


def _refusal(file: ImageFile, inspected: InspectedImages) -> Rejection | None:
    if file.label is None:
        return Rejection(RejectReason.label_missing, file.unlabelled_because)
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
        keys=tuple(sorted({key for file in files for key in (file.group, file.group_as_written) if key})),
        label=next(iter(agreed)) if len(agreed) == 1 else None,
        split="test" if "test" in splits else ("train" if splits else None),
        side_px=min(found.width, found.height),
    )
