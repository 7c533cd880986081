"""What a given split leaks is counted, and a manifest may carry it in the forms that are met."""

import hashlib
from pathlib import Path

import pandas as pd
import pytest

from tasks.data.given_split import leak_of
from tasks.data.labels import label_blobs
from tasks.errors import ManifestMismatch
from tasks.stores.datastore import Datastore


def store_with(folder: Path, *paths: str) -> Datastore:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(path.encode())
    return Datastore(str(folder))


def test_copies_on_both_sides_are_counted_as_files_and_as_images() -> None:
    rows = [
        # path, content, group, split, conflict
        ("a", "1", "g1", "test", False),
        ("b", "1", "g1", "train", False),  # the bytes of a
        ("c", "2", "g1", "test", False),  # a near copy of both
        ("d", "3", "g3", "test", False),  # given to both sides in one row
        ("e", "3", "g3", "test", False),  # its bytes again
        ("f", "4", "g4", "test", False),
        ("g", "5", "g5", "train", False),
        ("h", "6", "g6", "", False),
        ("i", "7", "g4", "train", True),  # a conflict: neither learnt nor judged
    ]
    frame = pd.DataFrame(rows, columns=["path", "sha256", "group", "split", "conflict"])
    leak, leaking = leak_of(frame, ["d"])
    assert leak.model_dump() == {
        "test_files": 5,
        "images_on_both_sides": 2,
        "test_files_on_both_sides": 3,
        "test_files_with_copies": 4,
        "training_files": 3,
        "training_files_left_out": 1,
    }
    assert frame.loc[leaking, "path"].tolist() == ["a", "c", "d", "e"]


def test_the_folders_give_the_label_where_the_manifest_gives_the_split(tmp_path: Path) -> None:
    store = store_with(tmp_path / "store", "yes/1.png", "no/2.png", "no/3.png", "yes/4.png")
    digest = hashlib.sha256(b"yes/1.png").hexdigest().upper()
    (tmp_path / "m").write_text(
        f"path,sha256,seed_split\nyes/1.png,{digest},test+train\nno/2.png,,train\nno/3.png,,test\n"
    )
    said = {one.blob.path: one for one in label_blobs(store, store.blobs(), str(tmp_path / "m")).rows}
    assert {path: (one.label, one.split, one.in_both) for path, one in said.items()} == {
        "yes/1.png": ("yes", "test", True),
        "no/2.png": ("no", "train", False),
        "no/3.png": ("no", "test", False),
        "yes/4.png": (None, None, False),
    }
    assert said["yes/1.png"].sha256 == digest.lower()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,a_split,b_split\nyes/1.png,train,test\n", "columns a_split, b_split could each be the split"),
        ("path,seed_split\n2.png,train\n", "2.png stands in no folder"),
        ("path,seed_split\nyes/1.png,1\n", "unknown split '1' in column seed_split"),
        ("path,label,sha256\nyes/1.png,yes,12\n", "'12' is no SHA-256"),
    ],
)
def test_a_split_that_cannot_be_told_is_refused(content: str, message: str, tmp_path: Path) -> None:
    store = store_with(tmp_path / "store", "yes/1.png", "2.png")
    (tmp_path / "m").write_text(content)
    with pytest.raises(ManifestMismatch, match=message) as refusal:
        label_blobs(store, store.blobs(), str(tmp_path / "m"))
    assert refusal.value.cure
