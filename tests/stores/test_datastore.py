"""The images' store: listed and read as it is, and errors that say what to do without a secret."""

import base64
import os
import socket
import time
import uuid
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import fsspec
import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas
from hypothesis import given
from hypothesis import strategies as st
from support.services.azurite import Azurite
from support.services.counted_filesystem import CountedFileSystem

from tasks.errors import AccessDenied, ConfigError, DataError, StoreEmpty, StoreUnreachable
from tasks.stores.connection import connect
from tasks.stores.datastore import Blob, Datastore, storage_options
from tasks.stores.failures import FailureKind, describe, failure_kind, scrub, secrets_among, with_retries

AWKWARD_NAMES = [
    "yes/plain.jpg",
    "yes/two words.JPG",
    "yes/größe-脑.png",
    "yes/a#b.png",
    "yes/a?b.png",
    "yes/a?b#c?d.png",
    "yes/100%.png",
    "yes/100%20.png",
    "yes/a+b&c=d;e'f.png",
    "yes/x?versionid=3",
    "no/[brackets]*.png",
    "no/trailing#",
    "no/sub folder/?.png",
]
SECRET = base64.b64encode(b"a key that nobody may ever see in a message").decode()


@pytest.fixture(autouse=True)
def no_azure_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AZURE_STORAGE_")]:
        monkeypatch.delenv(name)
    CountedFileSystem.reset()


def fill(folder: Path, names: list[str]) -> None:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())


# --- local and memory


def test_local_folder_lists_and_reads_awkward_names(tmp_path: Path) -> None:
    fill(tmp_path, AWKWARD_NAMES)
    store = Datastore(str(tmp_path))
    assert [blob.path for blob in store.blobs()] == sorted(AWKWARD_NAMES)
    assert all(store.read(blob.path) == blob.path.encode() for blob in store.blobs())
    assert all(blob.size_bytes == len(blob.path.encode()) for blob in store.blobs())
    assert store.is_local
    assert store.local_path("yes/a#b.png").read_bytes() == b"yes/a#b.png"


def test_memory_store_lists_and_reads_the_same(tmp_path: Path) -> None:
    root = f"memory://{uuid.uuid4().hex}/images"
    for name in AWKWARD_NAMES:
        fsspec.filesystem("memory").pipe_file(f"{root}/{name}", name.encode())
    store = Datastore(root)
    assert [blob.path for blob in store.blobs()] == sorted(AWKWARD_NAMES)
    assert all(store.read(name) == name.encode() for name in AWKWARD_NAMES)
    assert not store.is_local
    with pytest.raises(DataError, match="not a local folder"):
        store.local_path("yes/plain.jpg")


def test_file_urls_relative_paths_and_home_are_one_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "images", ["yes/1.png"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    urls = ["images", "./images/", "~/images", f"file://{tmp_path}/images", f"{tmp_path}/other/../images"]
    assert {Datastore(url).url for url in urls} == {str(tmp_path / "images")}


def test_hidden_files_and_litter_are_left_out(tmp_path: Path) -> None:
    fill(
        tmp_path,
        ["yes/1.png", "yes/.hidden.png", ".git/x.png", "yes/Thumbs.db", "__MACOSX/yes/1.png", ".DS_Store"],
    )
    assert [blob.path for blob in Datastore(str(tmp_path)).blobs()] == ["yes/1.png"]


def test_links_are_followed_without_going_round_in_circles(tmp_path: Path) -> None:
    fill(tmp_path, ["elsewhere/1.png", "store/yes/2.png"])
    (tmp_path / "store" / "no").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "store" / "yes" / "loop").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "yes" / "dangling.png").symlink_to(tmp_path / "nothing")
    paths = [blob.path for blob in Datastore(str(tmp_path / "store")).blobs()]
    assert paths == ["no/1.png", "yes/2.png"]


def test_version_changes_with_the_content(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"one")
    before = Datastore(str(tmp_path)).blobs()
    assert Datastore(str(tmp_path)).blobs() == before
    file.write_bytes(b"two")
    assert Datastore(str(tmp_path)).blobs() != before


def test_nothing_there_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreEmpty, match="holds no files"):
        Datastore(str(tmp_path / "empty")).blobs()
    with pytest.raises(StoreEmpty, match="absent"):
        Datastore(str(tmp_path / "absent")).blobs()
    with pytest.raises(StoreEmpty):
        Datastore(f"memory://{uuid.uuid4().hex}").blobs()


def test_a_file_is_no_store(tmp_path: Path) -> None:
    fill(tmp_path, ["image.png"])
    with pytest.raises(DataError, match="is a file"):
        Datastore(str(tmp_path / "image.png")).blobs()


def test_a_blob_that_is_gone_is_named(tmp_path: Path) -> None:
    fill(tmp_path, ["yes/1.png"])
    with pytest.raises(DataError, match=r"yes/2\.png"):
        Datastore(str(tmp_path)).read("yes/2.png")


def test_a_name_that_is_no_unicode_is_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"bad\xff.png")).write_bytes(b"x")
    with pytest.raises(DataError, match="not valid Unicode"):
        Datastore(str(tmp_path)).blobs()


# --- what a URL and its options may be


@pytest.mark.parametrize("url", ["", "  ", "nonsense://x/y"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        Datastore(url)


@pytest.mark.parametrize(
    "url",
    [
        f"az://account:{SECRET}@container/images",
        f"az://container/images?sv=2024-01-01&sig={SECRET}",
        f"s3://key:{SECRET}@bucket/images",
        f"https://account.blob.core.windows.net/c/i?sp=r&sig={SECRET}",
    ],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="holds credentials") as refusal:
        Datastore(url)
    assert SECRET not in str(refusal.value)


@pytest.mark.skipif(find_spec("s3fs") is not None, reason="s3fs is installed")
def test_a_missing_package_is_named() -> None:
    with pytest.raises(ConfigError, match="not installed") as refusal:
        Datastore("s3://bucket/images")
    assert "lightbox[s3]" in refusal.value.cure


def test_azure_options_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert storage_options("az://c/p") == {}
    assert storage_options("/some/folder") == storage_options("s3://b/p") == {}
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "mine")
    assert storage_options("az://c/p") == {"account_name": "mine"}
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "?sv=1&sig=abc")
    assert storage_options("az://c/p") == {"account_name": "mine", "sas_token": "?sv=1&sig=abc"}
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", SECRET)
    assert storage_options("az://c/p") == {"account_name": "mine", "account_key": SECRET}
    connection_string = f"AccountName=mine;AccountKey={SECRET}"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection_string)
    assert storage_options("abfs://c/p") == {"connection_string": connection_string}
    in_url = "abfs://c@{}.dfs.core.windows.net/p"
    assert storage_options(in_url.format("mine")) == {"connection_string": connection_string}
    assert storage_options(in_url.format("other")) == {"account_name": "other"}


def test_options_given_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", f"AccountName=environment;AccountKey={SECRET}")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", SECRET)
    store = Datastore("az://c/p", {"account_name": "block", "sas_token": "sv=1&sig=abcdef"})
    assert store.identity == "az://c/p https://block.blob.core.windows.net"
    same_url = Datastore("az://c/p")
    assert same_url.url == store.url
    assert same_url.identity != store.identity


def test_account_alone_uses_the_machine_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "mine")
    files = connect("az://c/p").files
    assert type(files._filesystem.credential).__name__ == "DefaultAzureCredential"  # type: ignore[attr-defined]


def test_fsspec_configuration_fills_what_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fsspec.config.conf, "az", {"account_name": "configured", "account_key": SECRET})
    assert Datastore("az://c/p").identity == "az://c/p https://configured.blob.core.windows.net"


@pytest.mark.parametrize("connection_string", [None, "nonsense", f"AccountKey={SECRET}"])
def test_unusable_settings_are_denied_with_the_cure(
    connection_string: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection_string is not None:
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection_string)
    with pytest.raises(AccessDenied) as refusal:
        Datastore("az://container/images")
    assert "AZURE_STORAGE_CONNECTION_STRING" in refusal.value.cure
    assert SECRET not in str(refusal.value)


# --- failures, retries, secrets


def test_only_an_unreachable_store_is_asked_again(tmp_path: Path) -> None:
    fill(tmp_path, ["yes/1.png"])
    store = Datastore(f"counted://{tmp_path}")
    CountedFileSystem.faults = [ConnectionResetError("reset"), TimeoutError("late")]
    assert store.read("yes/1.png") == b"yes/1.png"
    assert len(CountedFileSystem.reads) == 3
    CountedFileSystem.reset()
    CountedFileSystem.faults = [PermissionError("no")]
    with pytest.raises(AccessDenied):
        store.read("yes/1.png")
    assert len(CountedFileSystem.reads) == 1


def test_retries_end() -> None:
    calls = []

    def unreachable() -> None:
        calls.append(time.monotonic())
        raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        with_retries(unreachable, attempts=4, wait_seconds=0.01)
    assert len(calls) == 4


class _StatusError(Exception):
    def __init__(self, status_code: int) -> None:
        super().__init__(f"status {status_code}")
        self.status_code = status_code


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (_StatusError(401), FailureKind.denied),
        (_StatusError(403), FailureKind.denied),
        (_StatusError(404), FailureKind.missing),
        (_StatusError(429), FailureKind.unreachable),
        (_StatusError(503), FailureKind.unreachable),
        (_StatusError(400), FailureKind.other),
        (PermissionError(), FailureKind.denied),
        (FileNotFoundError(), FailureKind.missing),
        (NotADirectoryError(), FailureKind.missing),
        (socket.gaierror(-2, "unknown name"), FailureKind.unreachable),
        (OSError(28, "no space left"), FailureKind.other),
        (ValueError("x"), FailureKind.other),
    ],
)
def test_errors_are_told_apart(error: Exception, kind: FailureKind) -> None:
    assert failure_kind(error) is kind
    try:
        raise RuntimeError("wrapped") from error
    except RuntimeError as wrapped:
        assert failure_kind(wrapped) is kind


@given(
    st.text(st.characters(categories=["L", "N"], include_characters="+/="), min_size=12), st.text(), st.text()
)
def test_no_secret_survives_in_a_message(secret: str, before: str, after: str) -> None:
    connection_string = f"AccountName=mine;AccountKey={secret};EndpointSuffix=core.windows.net"
    secrets = secrets_among({"connection_string": connection_string, "account_name": "mine"})
    for text in (connection_string, f"{before} {secret} {after}", f"?sv=1&sig={secret}"):
        assert secret not in scrub(text, secrets)
        assert secret not in describe(ValueError(text), secrets)


def test_secrets_are_found_in_nested_options_but_names_stay() -> None:
    secrets = secrets_among({"account_name": "myaccount", "client_kwargs": {"password": "abcdefgh"}})
    assert scrub("myaccount with abcdefgh", secrets) == "myaccount with ***"


# --- Azure Blob Storage


@pytest.mark.service
def test_azure_lists_and_reads_awkward_names(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite.connection_string)
    with azurite.new_container() as container:
        for name in AWKWARD_NAMES:
            container.upload_blob(f"some prefix/{name}", name.encode())
        container.upload_blob("some prefix/folder", b"", metadata={"hdi_isfolder": "true"})
        container.upload_blob("some prefixed/other.png", b"another prefix")
        store = Datastore(f"az://{container.container_name}/some prefix")
        blobs = store.blobs()
        assert [blob.path for blob in blobs] == sorted(AWKWARD_NAMES)
        assert all(store.read(name) == name.encode() for name in AWKWARD_NAMES)
        container.upload_blob("some prefix/yes/a#b.png", b"changed, but a#b", overwrite=True)
        assert {blob.path for blob in set(store.blobs()) - set(blobs)} == {"yes/a#b.png"}
        whole = [blob.path for blob in Datastore(f"abfs://{container.container_name}/").blobs()]
        assert whole == sorted(
            [f"some prefix/{name}" for name in AWKWARD_NAMES] + ["some prefixed/other.png"]
        )


@pytest.mark.service
def test_azure_with_a_key_and_with_a_sas_token(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> None:
    with azurite.new_container() as container:
        container.upload_blob("yes/1.png", b"one")
        token = generate_container_sas(
            azurite.account,
            container.container_name,
            account_key=azurite.key,
            permission=ContainerSasPermissions(read=True, list=True),
            expiry=datetime.now(UTC) + timedelta(hours=1),
        )
        string = f"BlobEndpoint={azurite.endpoint};SharedAccessSignature={token}"
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", string)
        assert Datastore(f"az://{container.container_name}").read("yes/1.png") == b"one"
        expired = string.replace(token[-8:], "AAAAAAAA")
        with pytest.raises(AccessDenied) as refusal:
            Datastore(f"az://{container.container_name}", {"connection_string": expired}).blobs()
        assert "sig=" not in str(refusal.value)


@pytest.mark.service
def test_azure_wrong_key_is_denied_and_not_repeated(azurite: Azurite) -> None:
    with azurite.new_container() as container:
        container.upload_blob("yes/1.png", b"one")
        options = {"connection_string": azurite.connection_string.replace(azurite.key, SECRET)}
        store = Datastore(f"az://{container.container_name}", options)
        for call in (store.blobs, lambda: store.read("yes/1.png")):
            with pytest.raises(AccessDenied) as refusal:
                call()
            assert "AZURE_STORAGE_CONNECTION_STRING" in refusal.value.cure
            assert SECRET not in str(refusal.value)
            assert SECRET not in repr(store)
        assert (
            len(azurite.requests(container.container_name)) == 4
        )  # two of the test's own, two refused at once


@pytest.mark.service
def test_azure_container_that_is_missing_is_named(azurite: Azurite) -> None:
    with pytest.raises(StoreEmpty, match="no-such-container"):
        Datastore("az://no-such-container/images", {"connection_string": azurite.connection_string}).blobs()


def test_azure_where_nothing_listens_is_unreachable_soon() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}/account"
        string = f"AccountName=account;AccountKey={SECRET};BlobEndpoint={endpoint}"
        started = time.monotonic()
        with pytest.raises(StoreUnreachable) as refusal:
            Datastore("az://container/images", {"connection_string": string}).blobs()
        assert time.monotonic() - started < 60  # and not the minutes of a client that tries again
    assert SECRET not in str(refusal.value)


def test_blob_is_hashable_and_small() -> None:
    blob = Blob("yes/1.png", 3, "etag")
    assert {blob: 1}[Blob("yes/1.png", 3, "etag")] == 1
    assert not hasattr(blob, "__dict__")
