"""Which label each image carries: from its folder, or from a manifest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.data.label_table import ManifestRow, Split, read_manifest
from tasks.errors import ManifestMismatch
from tasks.stores.datastore import Blob, Datastore

LISTING_COLUMNS = ["path", "sha256", "size_bytes", "label", "group", "split"]
IN_BOTH = "in_both"
"""A further column of a listing: whether the content was given to training and to test."""
GIVEN = "given"
"""And the label that came with the image, whatever people decided later."""
UNLABELLED_BECAUSE = "unlabelled_because"
"""And why it has no label, where it has none."""


__all__ = ["LabelledBlob", "Split", "label_blobs"]

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
    says the file's bytes have.
    """

    blob: Blob
    label: str | None
    group: str | None
    split: Split | None
    in_both: bool = False
    sha256: str | None = None


def label_blobs(store: Datastore, blobs: Sequence[Blob], manifest: str | None = None) -> list[LabelledBlob]:
    """The images among a store's files, each with its label; in the order given.

    Without a manifest the label is the first folder's name, or the second's where the first ones are `train`
    and `test` (and the like), which then give the split; `validation` counts as `train`. Files outside a
    class folder are unlabelled, unless their name says that they are no images (`.csv`, `.md` and the like): those
    are left out. In a class folder every file is taken, whatever its name: what is no image is rejected
    later, with a reason.

    With a manifest (see `read_manifest`) only its rows give labels, or, where it has no label column, the
    folders of the files that it names; other files are unlabelled.

    Raises:
        ManifestMismatch: the manifest cannot be read, or does not fit the store, or leaves the label to folders
            where there are none.
    """
    if manifest is not None:
        rows, own_path = read_manifest(store, blobs, manifest)
        return _from_rows(rows, [blob for blob in blobs if blob.path != own_path])
    split_layout = _has_split_folders(blobs)
    labelled = (_from_folders(blob, split_layout) for blob in blobs)
    return [one for one in labelled if one.label is not None or not _is_no_image(one.blob.path)]


def _from_rows(rows: dict[str, ManifestRow], blobs: Sequence[Blob]) -> list[LabelledBlob]:
    split_layout = _has_split_folders(blobs)
    labelled = []
    for blob in blobs:
        row = rows.get(blob.path)
        if row is not None:
            label = row.label if row.label_named else _folder_label(blob, split_layout)
            labelled.append(LabelledBlob(blob, label, row.group, row.split, row.in_both, row.sha256))
        elif not _is_no_image(blob.path):
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


def _is_no_image(path: str) -> bool:
    return path.rpartition(".")[2].lower() in _NO_IMAGES
