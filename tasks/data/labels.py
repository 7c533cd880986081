"""Which label each image carries: from its folder, or from a manifest."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tasks.data.label_table import ManifestRow, Split, read_manifest
from tasks.data.patients_in_names import patients_in_names
from tasks.data.settings import LabelReading
from tasks.data.spelling import counted, doubtful_names, join_spellings
from tasks.errors import ManifestMismatch
from tasks.stores.datastore import Blob, Datastore

LISTING_COLUMNS = ["path", "sha256", "size_bytes", "label", "group", "split"]
IN_BOTH = "in_both"
"""A further column of a listing: whether the content was given to training and to test."""
GIVEN = "given"
"""And the label that came with the image, whatever people decided later."""
UNLABELLED_BECAUSE = "unlabelled_because"
"""And why it has no label, where it has none."""
SUBGROUP = "subgroup "
"""What the names of further columns begin with, by which figures are to be given; the column's own name follows."""
AS_WRITTEN = "group_as_written"
"""And the group key by its spelling, where any image's differs from the one by which spellings are one."""


__all__ = ["LabelledBlob", "LabelledFiles", "Split", "label_blobs"]

_ANYTHING = LabelReading()

_SPLIT_FOLDERS: dict[str, Literal["train", "test"]] = {
    "train": "train",
    "training": "train",
    "val": "train",
    "valid": "train",
    "validation": "train",
    "test": "test",
    "testing": "test",
}
_NO_IMAGES = frozenset(
    {
        "csv",
        "tsv",
        "json",
        "jsonl",
        "ndjson",
        "txt",
        "md",
        "rst",
        "parquet",
        "yaml",
        "yml",
        "xml",
        "html",
        "pdf",
    }
    | {"xls", "xlsx", "zip", "gz", "tar", "7z"}
)


@dataclass(frozen=True, slots=True)
class LabelledBlob:
    """A file with what is known of it; `label` None means unlabelled, `split` None that none was given.

    `in_both` is content that was given to training and test: it counts as test. `sha256` is what the manifest
    says the file's bytes have, `subgroups` what it says in the columns that were asked for.
    """

    blob: Blob
    label: str | None
    group: str | None
    split: Split | None
    in_both: bool = False
    sha256: str | None = None
    subgroups: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class LabelledFiles:
    """Files with their labels, and what a person should know of how these were read, a sentence each."""

    rows: list[LabelledBlob]
    told: tuple[str, ...]


def label_blobs(
    store: Datastore, blobs: Sequence[Blob], manifest: str | None = None, reading: LabelReading = _ANYTHING
) -> LabelledFiles:
    """The images among a store's files, each with its label; in the order given.

    Without a manifest the label is the first folder's name, or the second's where the first ones are `train`
    and `test` (and the like), which then give the split; `validation` counts as `train`. Files outside a
    class folder are unlabelled, unless their name says that they are no images (`.csv`, `.md` and the like): those
    are left out. In a class folder every file is taken, whatever its name: what is no image is rejected
    later, with a reason.

    With a manifest (see `read_manifest`) only its rows give labels, or, where it has no label column, the
    folders of the files that it names; other files are unlabelled.

    Labels that differ only in how they are written are one class.

    Raises:
        ManifestMismatch: the manifest cannot be read, or does not fit the store, or leaves the label to folders
            where there are none.
    """
    if reading.subgroup_columns and manifest is None:
        raise ManifestMismatch(
            f"there is no table that could have the columns {', '.join(reading.subgroup_columns)}",
            cure="name the table with --manifest, or leave --subgroup-columns out",
        )
    told: list[str] = []
    split_layout = _has_split_folders(blobs)
    if manifest is not None:
        table = read_manifest(store, blobs, manifest, reading)
        rows = _from_rows(table.rows, [blob for blob in blobs if blob.path != table.own_path])
        told += table.told
    else:
        found = (_from_folders(blob, split_layout) for blob in blobs)
        rows = [one for one in found if one.label is not None or not is_no_image(one.blob.path)]
    spellings = join_spellings(counted([row.label for row in rows]), join=reading.join_spellings)
    told += [sentence for sentence in spellings.told if sentence not in told]
    rows = [row if row.label is None else replace(row, label=spellings.names[row.label]) for row in rows]
    told += doubtful_names(counted([row.label for row in rows]))
    if not any(row.group for row in rows):
        depth = 0 if manifest is not None else 1 + split_layout
        told += patients_in_names([(row.blob.path, row.label) for row in rows], depth)
    return LabelledFiles(rows, tuple(told))


def _from_rows(rows: dict[str, ManifestRow], blobs: Sequence[Blob]) -> list[LabelledBlob]:
    split_layout = _has_split_folders(blobs)
    labelled = []
    for blob in blobs:
        row = rows.get(blob.path)
        if row is not None:
            label = row.label if row.label_named else _folder_label(blob, split_layout)
            labelled.append(
                LabelledBlob(blob, label, row.group, row.split, row.in_both, row.sha256, row.subgroups)
            )
        elif not is_no_image(blob.path):
            labelled.append(LabelledBlob(blob, None, None, None))
    return labelled


def _folder_label(blob: Blob, split_layout: bool) -> str:
    label = _from_folders(blob, split_layout).label
    if label is None:
        raise ManifestMismatch(
            f"the manifest has no column label, and {blob.path} stands in no folder that could name its class",
            cure="add the column label, or put each class into a folder of its own",
        )
    return label


def _from_folders(blob: Blob, split_layout: bool) -> LabelledBlob:
    folders = blob.path.split("/")[:-1]
    if not split_layout:
        return LabelledBlob(blob, folders[0] if folders else None, None, None)
    split = _SPLIT_FOLDERS.get(folders[0].lower()) if folders else None
    label = folders[1] if split is not None and len(folders) > 1 else None
    return LabelledBlob(blob, label, None, split)


def _has_split_folders(blobs: Sequence[Blob]) -> bool:
    """Whether train and test stand above the class folders, rather than being classes themselves.

    So it is when a `train` folder has folders of its own, or when no other folder than such ones is there.
    """
    top_folders, with_folders = set(), set()
    for blob in blobs:
        parts = blob.path.split("/")
        if len(parts) > 1:
            top_folders.add(parts[0])
        if len(parts) > 2:
            with_folders.add(parts[0])
    splits = {name for name in with_folders if name.lower() in _SPLIT_FOLDERS}
    has_training = any(_SPLIT_FOLDERS[name.lower()] == "train" for name in splits)
    return bool(splits) and (has_training or splits == top_folders)


def is_no_image(path: str) -> bool:
    """Whether a file's name says that it is no image."""
    return path.rpartition(".")[2].lower() in _NO_IMAGES
