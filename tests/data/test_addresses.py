"""Addresses of images as other programs write them mean the file of the store, or nothing."""

import base64
from pathlib import Path

import pytest

from tasks.data.addresses import StorePaths
from tasks.data.label_table import read_manifest
from tasks.errors import ManifestMismatch
from tasks.stores.datastore import Datastore

PATHS = ["yes/1 one.png", "no/größe.png", "1 one.png", "no/a+b&c.png"]
BUCKET = base64.urlsafe_b64encode(b"s3://scans/images/yes/1 one.png").decode()


@pytest.mark.parametrize(
    "address",
    [
        "yes/1 one.png",
        "./yes/1 one.png",
        "/data/images/yes/1 one.png",
        "/home/ann/images/yes/1 one.png",
        "images/yes/1 one.png",
        "../images/yes/1 one.png",
        "data/images/yes/1 one.png",
        "yes\\1 one.png",
        ".\\yes\\1 one.png",
        "C:\\Users\\ann\\images\\yes\\1 one.png",
        "C:/Users/ann/images/yes/1 one.png",
        "\\\\server\\share\\images\\yes\\1 one.png",
        "file:///data/images/yes/1%20one.png",
        "file:///C:/images/yes/1%20one.png",
        "https://mine.blob.core.windows.net/scans/images/yes/1%20one.png",
        "https://mine.blob.core.windows.net/scans/images/yes/1%20one.png?sv=1&sig=abc",
        "https://portal.azure.com/#view/Microsoft_Azure_Storage/BlobPropertiesBladeV2/storageAccountId/%2Fsubscriptions"
        "%2F1/path/scans%2Fimages%2Fyes%2F1%20one.png/isDeleted~/false/tabToload~/0",
        "wasbs://scans@mine.blob.core.windows.net/images/yes/1 one.png",
        "abfss://scans@mine.dfs.core.windows.net/images/yes/1 one.png",
        "azureml://datastores/workspaceblobstore/paths/images/yes/1 one.png",
        "azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/d/paths/images/yes/1 one.png",
        "dbfs:/mnt/scans/images/yes/1 one.png",
        "/dbfs/mnt/scans/images/yes/1 one.png",
        "s3a://scans/images/yes/1 one.png",
        "gs://scans/images/yes/1 one.png",
        "https://console.cloud.google.com/storage/browser/_details/scans/images/yes/1%20one.png;tab=live_object",
        "https://s3.console.aws.amazon.com/s3/object/scans?region=eu&prefix=images/yes/1+one.png",
        "/data/local-files/?d=images/yes/1%20one.png",
        "http://localhost:8080/data/local-files/?d=C%3A%5Cimages%5Cyes%5C1%20one.png",
        f"/tasks/7/resolve/?fileuri={BUCKET}",
        f"/tasks/7/presign/?fileuri={BUCKET.rstrip('=')}",
        f"https://studio/tasks/7/resolve?fileuri={BUCKET}",
        "/tasks/7/resolve/?fileuri=s3%3A%2F%2Fscans%2Fimages%2Fyes%2F1%20one.png",
    ],
)
def test_an_address_means_its_file(address: str) -> None:
    assert StorePaths(PATHS, "/data/images").find(address) == "yes/1 one.png"


@pytest.mark.parametrize(
    "address",
    [
        "maybe/2.png",
        "/data/local-files/?d=other/2.png",
        "other/1 one.png",
        "2.png",
        "",
        "https://host/",
        "?d=",
        "yes",
    ],
)
def test_an_address_of_another_file_means_none(address: str) -> None:
    assert StorePaths(PATHS, "/data/images").find(address) is None


def test_signs_of_an_address_that_are_a_name_stay() -> None:
    assert StorePaths(PATHS, "/data/images").find("no/a+b&c.png") == "no/a+b&c.png"
    assert StorePaths(["a?d=b.png", "b.png"], "/x").find("a?d=b.png") == "a?d=b.png"


def test_two_addresses_that_would_mean_one_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").write_bytes(b"x")
    store = Datastore(str(tmp_path / "images"))
    table = tmp_path / "table"
    table.write_text("path,label\ns3://a/yes/1.png,yes\ns3://a/no/1.png,yes\n")
    with pytest.raises(ManifestMismatch, match=r"s3://a/yes/1\.png and s3://a/no/1\.png") as refused:
        read_manifest(store, store.blobs(), str(table))
    assert "folder/name.png" in refused.value.cure
    table.write_text("path,label\ns3://a/1.png,yes\n1.png,yes\n")
    assert read_manifest(store, store.blobs(), str(table)).rows["1.png"].label == "yes"


def test_another_case_of_letters_is_named(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "A.PNG").write_bytes(b"x")
    store = Datastore(str(tmp_path / "images"))
    (tmp_path / "table").write_text("path,label\na.png,yes\n")
    with pytest.raises(ManifestMismatch) as refused:
        read_manifest(store, store.blobs(), str(tmp_path / "table"))
    assert "A.PNG instead of a.png" in refused.value.cure
