"""Labels come from folders or a manifest, and whatever contradicts itself is refused by name."""

import csv
import io
import json
import unicodedata
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import fsspec
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.services.azurite import Azurite

from tasks.data.labels import LabelledBlob, label_blobs
from tasks.errors import ManifestMismatch
from tasks.stores.datastore import Blob, Datastore


def store_with(folder: Path, paths: list[str]) -> Datastore:
    for path in paths:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(path.encode())
    return Datastore(str(folder))


def labels_of(
    store: Datastore, manifest: str | None = None
) -> dict[str, tuple[str | None, str | None, str | None]]:
    labelled = label_blobs(store, store.blobs(), manifest).rows
    return {one.blob.path: (one.label, one.group, one.split) for one in labelled}


# --- folders


def test_a_folder_per_class_on_the_real_images(brain_mri: Path) -> None:
    store = Datastore(str(brain_mri))
    labelled = label_blobs(store, store.blobs()).rows
    assert Counter(one.label for one in labelled) == {"yes": 155, "no": 98}
    assert {(one.group, one.split) for one in labelled} == {(None, None)}
    assert [one.blob.path for one in labelled] == sorted(one.blob.path for one in labelled)


def test_every_file_of_a_class_folder_counts_and_litter_beside_does_not(tmp_path: Path) -> None:
    paths = [
        "yes/1.png",
        "yes/deep/er/2.JPG",
        "no/3",
        "no/notes.txt",
        "loose.png",
        "README.md",
        "split.CSV",
        "a.zip",
    ]
    assert labels_of(store_with(tmp_path, paths)) == {
        "yes/1.png": ("yes", None, None),
        "yes/deep/er/2.JPG": ("yes", None, None),
        "no/3": ("no", None, None),
        "no/notes.txt": ("no", None, None),
        "loose.png": (None, None, None),
    }


def test_train_and_test_above_the_classes(tmp_path: Path) -> None:
    paths = ["Train/yes/1.png", "Train/no/2.png", "test/yes/3.png", "validation/no/4.png", "train/loose.png"]
    paths += ["new/5.png", "Train/labels.csv"]
    assert labels_of(store_with(tmp_path, paths)) == {
        "Train/yes/1.png": ("yes", None, "train"),
        "Train/no/2.png": ("no", None, "train"),
        "test/yes/3.png": ("yes", None, "test"),
        "validation/no/4.png": ("no", None, "train"),
        "train/loose.png": (None, None, "train"),
        "new/5.png": (None, None, None),
    }


def test_a_class_may_be_called_test(tmp_path: Path) -> None:
    store = store_with(tmp_path, ["test/1.png", "test/site a/2.png", "control/3.png"])
    assert {label for label, _, _ in labels_of(store).values()} == {"test", "control"}


def test_a_store_of_test_images_alone(tmp_path: Path) -> None:
    store = store_with(tmp_path, ["test/yes/1.png", "test/no/2.png"])
    assert labels_of(store)["test/no/2.png"] == ("no", None, "test")


@given(st.lists(st.tuples(st.sampled_from(["yes", "no"]), st.uuids()), min_size=1))
def test_labels_do_not_depend_on_the_order(files: list[tuple[str, uuid.UUID]]) -> None:
    store = Datastore(f"memory://{uuid.uuid4().hex}")
    blobs = [Blob(f"{label}/{name}.png", 1, "etag") for label, name in files]
    forwards = label_blobs(store, blobs).rows
    assert label_blobs(store, blobs[::-1]).rows == forwards[::-1]
    assert forwards == [LabelledBlob(blob, blob.path.split("/")[0], None, None) for blob in blobs]


# --- manifests

ROWS: list[dict[str, Any]] = [
    {"path": "a/1.png", "label": "yes", "group": "patient 1", "split": "train", "age": 50},
    {"path": "a/2, two.png", "label": "no", "group": "patient 2", "split": "test+train", "age": None},
    {"path": "a/größe#3?.png", "label": " yes ", "group": None, "split": "", "age": 7},
    {"path": "a/4.png", "label": None, "group": None, "split": "Validation", "age": 8},
]
EXPECTED = {
    "a/1.png": ("yes", "patient 1", "train"),
    "a/2, two.png": ("no", "patient 2", "test"),
    "a/größe#3?.png": ("yes", None, None),
    "a/4.png": (None, None, "train"),
    "a/not named.png": (None, None, None),
}


def as_csv(rows: list[dict[str, Any]], delimiter: str = ",") -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_json_lines(rows: list[dict[str, Any]]) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode() + b"\n\n"


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    return pandas.DataFrame(rows).to_parquet()


@pytest.mark.parametrize(
    "content",
    [
        as_csv(ROWS),
        b"\xef\xbb\xbf" + as_csv(ROWS, ";"),
        as_csv(ROWS, "\t"),
        as_csv(ROWS).replace(b"path", b" Path ").replace(b"label", b"LABEL"),
        as_json_lines(ROWS),
        as_parquet(ROWS),
    ],
    ids=["csv", "csv of a spreadsheet", "tab", "other case", "json lines", "parquet"],
)
@pytest.mark.parametrize("place", ["beside", "inside", "url"])
def test_manifests_of_each_kind(content: bytes, place: str, tmp_path: Path) -> None:
    store = store_with(tmp_path / "store", list(EXPECTED))
    if place == "beside":
        manifest = str(tmp_path / "any name")
        Path(manifest).write_bytes(content)
    elif place == "inside":
        manifest = "a/the manifest"
        (tmp_path / "store" / manifest).write_bytes(content)
    else:
        manifest = f"memory://{uuid.uuid4().hex}/manifest"
        fsspec.filesystem("memory").pipe_file(manifest, content)
    assert labels_of(store, manifest) == EXPECTED


def test_a_manifest_inside_named_by_its_full_path_is_no_image(tmp_path: Path) -> None:
    store = store_with(tmp_path, ["1.png", "2.png"])
    (tmp_path / "labels").write_bytes(b"path,label\n1.png,yes\n2.png,no\n")
    assert set(labels_of(store, str(tmp_path / "labels"))) == {"1.png", "2.png"}


def test_numbers_as_labels_read_alike_from_each_kind(tmp_path: Path) -> None:
    store = store_with(tmp_path / "store", ["1.png", "2.png", "3.png"])
    rows: list[dict[str, Any]] = [{"path": "1.png", "label": 1}, {"path": "2.png", "label": 0}]
    for content in (
        as_csv(rows),
        as_json_lines(rows),
        as_parquet([*rows, {"path": "3.png", "label": float("nan")}]),
    ):
        (tmp_path / "manifest").write_bytes(content)
        labels = labels_of(store, str(tmp_path / "manifest"))
        assert [labels[path][0] for path in ("1.png", "2.png", "3.png")] == ["1", "0", None]


@pytest.mark.parametrize(
    "address",
    [
        "azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/d/paths/images/{}",
        "AmlDatastore://workspaceblobstore/images/{}",
        "https://account.blob.core.windows.net/container/images/{}?sv=1&sig=abc",
        "wasbs://container@account.blob.core.windows.net/images/{}",
        "./{}",
        "{}",
    ],
)
def test_the_json_lines_of_automl(address: str, tmp_path: Path) -> None:
    store = store_with(tmp_path / "images", ["yes/1 one.png", "no/größe.png", "1 one.png"])
    encoded = address.startswith("https")
    rows = []
    for path, label in (("yes/1 one.png", "yes"), ("no/größe.png", ["no"])):
        name = "yes/1%20one.png" if encoded and label == "yes" else path
        name = "no/gr%C3%B6%C3%9Fe.png" if encoded and label != "yes" else name
        rows.append({"image_url": address.format(name), "image_details": {"format": "png"}, "label": label})
    (tmp_path / "train.jsonl").write_bytes(as_json_lines(rows))
    assert labels_of(store, str(tmp_path / "train.jsonl")) == {
        "yes/1 one.png": ("yes", None, None),
        "no/größe.png": ("no", None, None),
        "1 one.png": (None, None, None),
    }


def test_addresses_below_the_store_are_exact(tmp_path: Path) -> None:
    store = store_with(tmp_path, ["yes/1%20.png", "yes/1 .png"])
    (tmp_path / "m").write_bytes(as_json_lines([{"path": f"{store.url}/yes/1%20.png", "label": "x"}]))
    assert labels_of(store, "m")["yes/1%20.png"] == ("x", None, None)
    assert labels_of(store, "m")["yes/1 .png"] == (None, None, None)


def test_a_name_in_decomposed_unicode_is_found(tmp_path: Path) -> None:
    stored = unicodedata.normalize("NFD", "größe é.png")
    store = store_with(tmp_path / "store", [stored])
    (tmp_path / "m").write_bytes(as_csv([{"path": unicodedata.normalize("NFC", stored), "label": "yes"}]))
    assert labels_of(store, str(tmp_path / "m")) == {stored: ("yes", None, None)}


def test_a_row_given_twice_counts_once(tmp_path: Path) -> None:
    store = store_with(tmp_path / "store", ["1.png"])
    (tmp_path / "m").write_bytes(b"path,label\n1.png,yes\n./1.png,yes\n")
    assert labels_of(store, str(tmp_path / "m")) == {"1.png": ("yes", None, None)}


# --- manifests that do not fit


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no rows"),
        (b"path,label\n", "no rows"),
        (b"file,label\n1.png,yes\n", r"path \(or image_url\) is missing, there are file, label"),
        (b"path,class\n1.png,yes\n", "column label is missing, there are class, path"),
        (b'{"image_url": "az://c/1.png"}\n', "column label is missing"),
        (b"path,label\n,yes\n", "row 2: the path is empty"),
        (b"path,label,split\n1.png,yes,tset\n", "unknown split 'tset'"),
        (b"path,label\n1.png,yes,more\n", "line 2: not as many fields"),
        (b"path,label\n1.png\n", "line 2: not as many fields"),
        (b'{"path": "1.png", "label": "yes"}\n{"path": \n', "line 2: no JSON"),
        (b"[1, 2]\n", "row 1: no JSON object"),
        (b'{"path": "1.png", "label": {"yes": 1}}\n', "the label is an object with yes"),
        (b"path,label,label\n1.png,yes,no\n", "has the column label more than once"),
        (b"path,label,Label\n1.png,yes,no\n", "two columns are called label"),
        (b'{"path": "1.png", "label": ' + b"[" * 100_000, "line 1: no JSON"),
        (b'{"path": "1.png", "label": ["a", "b"]}\n', "2 labels"),
        (b"PAR1 and nothing more", "damaged Parquet"),
        (b"\xff\xfe\x00", "neither Parquet nor UTF-8"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    store = store_with(tmp_path / "store", ["1.png"])
    (tmp_path / "manifest").write_bytes(content)
    with pytest.raises(ManifestMismatch, match=message) as refusal:
        labels_of(store, str(tmp_path / "manifest"))
    assert str(tmp_path / "manifest") in refusal.value.message
    assert refusal.value.cure


def test_paths_that_are_not_in_the_store_are_named_and_counted(tmp_path: Path) -> None:
    store = store_with(tmp_path / "store", ["1.png", "2.png"])
    rows = [{"path": "1.png", "label": "yes"}, *({"path": f"gone/{n}.png", "label": "no"} for n in range(9))]
    (tmp_path / "m").write_bytes(as_csv(rows))
    with pytest.raises(ManifestMismatch, match=r"9 of the paths in .* are not among the 2 files") as refusal:
        labels_of(store, str(tmp_path / "m"))
    assert "gone/0.png, gone/1.png, gone/2.png, gone/3.png, gone/4.png, ..." in refusal.value.message


def test_an_address_with_a_token_is_not_repeated(tmp_path: Path) -> None:
    store = store_with(tmp_path / "store", ["1.png"])
    rows = [{"image_url": "https://a.blob.core.windows.net/c/gone.png?sv=1&sig=topsecret", "label": "yes"}]
    (tmp_path / "m").write_bytes(as_json_lines(rows))
    with pytest.raises(ManifestMismatch, match=r"gone\.png") as refusal:
        labels_of(store, str(tmp_path / "m"))
    assert "topsecret" not in str(refusal.value)


@pytest.mark.parametrize("other", ["1.png,no,a,train", "1.png,yes,b,train", "1.png,yes,a,test"])
def test_rows_that_contradict_each_other_are_refused(other: str, tmp_path: Path) -> None:
    store = store_with(tmp_path / "store", ["1.png", "2.png"])
    (tmp_path / "m").write_text(f"path,label,group,split\n1.png,yes,a,train\n2.png,no,a,train\n{other}\n")
    with pytest.raises(ManifestMismatch, match=r"1 rows of .* contradict an earlier row of the path: 1\.png"):
        labels_of(store, str(tmp_path / "m"))


def test_a_manifest_that_is_not_there_is_refused(tmp_path: Path) -> None:
    store = store_with(tmp_path, ["1.png"])
    with pytest.raises(ManifestMismatch, match="there is no manifest absent"):
        labels_of(store, "absent.csv")
    with pytest.raises(ManifestMismatch, match="the manifest cannot be read"):
        labels_of(store, f"memory://{uuid.uuid4().hex}/absent.csv")


@pytest.mark.service
def test_a_manifest_within_azure(azurite: Azurite) -> None:
    with azurite.new_container() as container:
        for name in ("set/x/1 a.png", "set/x/2#.png"):
            container.upload_blob(name, b"x")
        url = f"az://{container.container_name}/set"
        rows = [{"path": "x/1 a.png", "label": "yes"}, {"path": f"{url}/x/2#.png", "label": "no"}]
        container.upload_blob("set/labels.jsonl", as_json_lines(rows))
        store = Datastore(url, {"connection_string": azurite.connection_string})
        expected = {"x/1 a.png": ("yes", None, None), "x/2#.png": ("no", None, None)}
        assert labels_of(store, "labels.jsonl") == labels_of(store, f"{url}/labels.jsonl") == expected
