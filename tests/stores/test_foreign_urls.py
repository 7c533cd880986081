"""Addresses of stores as people copy them from portals, consoles and other systems."""

from pathlib import Path

import pytest

from tasks.errors import ConfigError
from tasks.stores.connection import connect
from tasks.stores.datastore import Datastore
from tasks.stores.foreign_urls import understood

BLOB = "abfss://scans@mine.dfs.core.windows.net/brain mri"
PORTAL = (
    "https://portal.azure.com/#view/Microsoft_Azure_Storage/ContainerMenuBlade/~/overview/storageAccountId/"
    "%2Fsubscriptions%2F1%2FresourceGroups%2Fg%2Fproviders%2FMicrosoft.Storage%2FstorageAccounts%2Fmine/path/{}/etag/1"
)


@pytest.mark.parametrize(
    ("copied", "meant"),
    [
        ("https://mine.blob.core.windows.net/scans/brain%20mri", BLOB),
        ("https://mine.dfs.core.windows.net/scans/brain%20mri/", BLOB),
        ("https://mine.blob.core.windows.net/scans?restype=container&comp=list", BLOB.rpartition("/")[0]),
        ("wasbs://scans@mine.blob.core.windows.net/brain mri", BLOB),
        ("wasb://scans@mine.blob.core.windows.net/brain mri/", BLOB),
        ("abfss://scans@mine.blob.core.windows.net/brain mri", BLOB),
        (BLOB, BLOB),
        ("wasbs://scans/brain", "az://scans/brain"),
        (PORTAL.format("scans%2Fbrain%20mri"), BLOB),
        (PORTAL.format("scans"), BLOB.rpartition("/")[0]),
        ("s3a://scans/brain", "s3://scans/brain"),
        ("s3n://scans/brain", "s3://scans/brain"),
        ("https://scans.s3.eu-west-1.amazonaws.com/brain/", "s3://scans/brain"),
        ("https://s3.eu-west-1.amazonaws.com/scans/brain", "s3://scans/brain"),
        ("https://scans.s3.amazonaws.com/brain", "s3://scans/brain"),
        ("https://s3.console.aws.amazon.com/s3/buckets/scans?region=eu&prefix=brain/", "s3://scans/brain"),
        (
            "https://eu-west-1.console.aws.amazon.com/s3/buckets/scans?prefix=brain/&tab=objects",
            "s3://scans/brain",
        ),
        ("arn:aws:s3:::scans/brain/*", "s3://scans/brain"),
        (
            "https://console.cloud.google.com/storage/browser/scans/brain;tab=objects?project=p",
            "gs://scans/brain",
        ),
        ("https://storage.googleapis.com/scans/brain", "gs://scans/brain"),
        ("https://storage.cloud.google.com/scans/brain", "gs://scans/brain"),
        ("https://scans.storage.googleapis.com/brain", "gs://scans/brain"),
        ("file:///data/brain%20mri", "/data/brain mri"),
        ("file://localhost/data/scans", "/data/scans"),
        ("file:/data/scans", "/data/scans"),
        ('"/data/brain mri"', "/data/brain mri"),
        ("AZ://scans/brain", "az://scans/brain"),
        ("/data/scans", "/data/scans"),
        ("memory://x", "memory://x"),
        ("https://example.org/scans", "https://example.org/scans"),
    ],
)
def test_what_was_copied_is_what_was_meant(copied: str, meant: str) -> None:
    assert understood(copied) == meant
    assert understood(meant) == meant


@pytest.mark.parametrize(
    ("copied", "cure"),
    [
        (
            "azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/d/paths/scans",
            "az://CONTAINER/folder",
        ),
        ("azureml://datastores/workspaceblobstore/paths/scans", "az://CONTAINER/folder"),
        ("azureml:brain:1", "az://CONTAINER/folder"),
        ("dbfs:/mnt/scans", "dbutils.fs.mounts()"),
        ("adl://mine.azuredatalakestore.net/scans", "abfss://CONTAINER"),
        ("C:\\scans\\brain", "/mnt/c/scans/brain"),
        ("d:/scans", "/mnt/d/scans"),
        ("file:///C:/scans", "/mnt/c/scans"),
        ("\\\\server\\share\\scans", "mount the share"),
        ("file://server/share/scans", "mount the share"),
        ("scans\\brain", "write scans/brain"),
        ("az:/scans/brain", "write az://scans/brain"),
        ("s3:scans", "write s3://scans"),
        ("https://team.sharepoint.com/sites/x/scans", "az://container/folder"),
        ("https://drive.google.com/drive/folders/1", "az://container/folder"),
        ("https://portal.azure.com/#home", "az://container/folder"),
        ("https://mine.blob.core.windows.net/", "write https://mine.blob.core.windows.net/CONTAINER"),
        ("arn:aws:iam::1:role/x", "s3://BUCKET/folder"),
    ],
)
def test_what_cannot_be_opened_is_refused_with_how_it_is_written(copied: str, cure: str) -> None:
    for call in (understood, connect, Datastore):
        with pytest.raises(ConfigError) as refused:
            call(copied)
        assert copied.strip("/") in refused.value.message
        assert cure in refused.value.cure


def test_a_copied_address_opens_the_same_store() -> None:
    one = connect(
        "https://mine.blob.core.windows.net/scans/brain", {"account_key": "a2V5", "account_name": "mine"}
    )
    other = connect(
        "abfss://scans@mine.dfs.core.windows.net/brain", {"account_key": "a2V5", "account_name": "mine"}
    )
    assert (one.url, one.identity) == (other.url, other.identity)


def test_a_local_folder_of_any_name_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a%20b", "data:2024", "back\\slash", "what?sig=1"):
        (tmp_path / name).mkdir()
        for url in (name, str(tmp_path / name), f"file://{tmp_path / name}"):
            assert connect(url).url == str(tmp_path / name)
