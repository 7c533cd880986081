"""The workspace: whole files, no lost update, and errors that name the place."""

import contextlib
import errno
import json
import multiprocessing
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas
from support.services.azurite import Azurite
from support.services.counted_filesystem import CountedFileSystem

from tasks.errors import WorkspaceError
from tasks.stores.layout import MARK
from tasks.stores.workspace import VersionedDocument, Workspace


@pytest.fixture(autouse=True)
def fresh_counters() -> None:
    CountedFileSystem.reset()


@pytest.fixture(params=["local", "memory", pytest.param("azure", marks=pytest.mark.service)])
def workspace(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    """An empty workspace of each kind."""
    if request.param == "local":
        return Workspace(str(tmp_path / "workspace"))
    if request.param == "memory":
        return Workspace(f"memory://{uuid.uuid4().hex}/workspace")
    azurite: Azurite = request.getfixturevalue("azurite")
    with azurite.new_container() as container:
        return azure_workspace(azurite, container.container_name)


def azure_workspace(azurite: Azurite, container: str) -> Workspace:
    """A workspace with a client of its own, as on another machine."""
    options = {"connection_string": azurite.connection_string, "skip_instance_cache": True}
    return Workspace(f"az://{container}/some/work space", options)


def temporary_files(workspace: Workspace) -> list[Path]:
    return [file for file in (Path(workspace.url) / ".tmp").iterdir() if file.name != "lock"]


# --- files of every kind of workspace


def test_what_is_written_is_read(workspace: Workspace) -> None:
    workspace.check_writable()
    assert workspace.list() == []
    assert not workspace.exists("runs/1/evaluation.json")
    for name in ("runs/1/evaluation.json", "runs/2/a#b?c%20d é.json", "models/m/1/bundle.json", "empty"):
        workspace.write(name, b"" if name == "empty" else name.encode())
    assert workspace.read("runs/2/a#b?c%20d é.json") == "runs/2/a#b?c%20d é.json".encode()
    assert workspace.read("empty") == b""
    workspace.write("runs/1/evaluation.json", b"newer")
    assert workspace.read("runs/1/evaluation.json") == b"newer"
    assert workspace.exists("runs/1/evaluation.json")
    assert workspace.exists("runs/1")
    assert not workspace.exists("runs/3")
    assert workspace.list("runs") == ["runs/1/evaluation.json", "runs/2/a#b?c%20d é.json"]
    assert workspace.list("runs/1/") == ["runs/1/evaluation.json"]
    assert workspace.list("run") == []
    assert workspace.uri("runs/1") == f"{workspace.url}/runs/1"
    workspace.delete("empty")
    workspace.delete("empty")
    assert workspace.list() == ["models/m/1/bundle.json", "runs/1/evaluation.json", "runs/2/a#b?c%20d é.json"]


def test_files_are_listed_with_size_and_time(workspace: Workspace) -> None:
    before = time.time()
    workspace.write("a/b", b"12345")
    (file,) = workspace.files("a")
    assert (file.path, file.size_bytes) == ("a/b", 5)
    assert file.modified_seconds is not None
    assert abs(file.modified_seconds - before) < 60
    assert workspace.leftovers() == []


def test_a_local_workspace_keeps_no_empty_folders_and_tells_what_killed_writers_left(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    workspace.write("a/b/c", b"1")
    workspace.write("a/d", b"1")
    workspace.delete("a/b/c")
    assert not (tmp_path / "a" / "b").exists()
    assert workspace.list() == ["a/d"]
    (tmp_path / ".tmp" / "half").write_bytes(b"12")
    assert [(file.path, file.size_bytes) for file in workspace.leftovers()] == [(".tmp/half", 2)]
    workspace.delete(".tmp/half")
    assert workspace.leftovers() == []
    workspace.write("a/b/c", b"2")
    assert workspace.read("a/b/c") == b"2"


def test_writers_are_not_hurt_by_the_tidying_of_folders(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))

    def write_and_delete(number: int) -> None:
        for _ in range(40):
            workspace.write(f"deep/er/{number}", b"1")
            assert workspace.read(f"deep/er/{number}") == b"1"
            workspace.delete(f"deep/er/{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write_and_delete, range(8)))
    assert workspace.list() == []


def test_only_one_creates(workspace: Workspace) -> None:
    assert workspace.write_new("aliases/1.json", b"first") is True
    assert workspace.write_new("aliases/1.json", b"second") is False
    assert workspace.read("aliases/1.json") == b"first"
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: workspace.write_new("aliases/2.json", b"%d" % n), range(24)))
    assert won.count(True) == 1
    assert workspace.read("aliases/2.json") == b"%d" % won.index(True)


def test_upload_and_local_copy(workspace: Workspace, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "shard.npy").write_bytes(content)
    workspace.upload(tmp_path / "shard.npy", "cache/shard.npy")
    assert workspace.read("cache/shard.npy") == content
    copy = workspace.local_copy("cache/shard.npy", tmp_path / "copies")
    assert copy.read_bytes() == content
    assert copy.name == "shard.npy"
    if workspace.is_local:
        assert copy == Path(workspace.url) / "cache" / "shard.npy"
    with pytest.raises(WorkspaceError, match="damaged"):
        workspace.local_copy("cache/shard.npy", tmp_path / "copies", sha256="0" * 64)
    with pytest.raises(WorkspaceError, match="absent"):
        workspace.local_copy("cache/absent.npy", tmp_path / "copies")


def test_a_missing_file_is_named(workspace: Workspace) -> None:
    with pytest.raises(WorkspaceError, match=r"runs/9/evaluation\.json"):
        workspace.read("runs/9/evaluation.json")


@pytest.mark.parametrize("rel", ["../outside", "/etc/passwd", "a//b", "a/./b", "a/../../b", "folder/"])
def test_paths_stay_within(rel: str, tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path / "workspace"))
    for call in (workspace.read, workspace.exists, workspace.delete, workspace.uri):
        with pytest.raises(WorkspaceError, match="no path within"):
            call(rel)
    with pytest.raises(WorkspaceError, match="no path within"):
        workspace.write(rel, b"")


def test_local_copy_of_a_remote_file_is_verified_and_kept(tmp_path: Path) -> None:
    workspace = Workspace(f"counted://{tmp_path}/remote")
    (tmp_path / "remote").mkdir()
    workspace.write("model.onnx", b"a model")
    copy = workspace.local_copy("model.onnx", tmp_path / "copies")
    copy.write_bytes(b"A model")
    other_process = Workspace(workspace.url)
    assert other_process.local_copy("model.onnx", tmp_path / "copies") == copy
    assert copy.read_bytes() == b"a model"
    workspace.write("model.onnx", b"another model")
    newer = workspace.local_copy("model.onnx", tmp_path / "copies")
    assert (newer.read_bytes(), copy.read_bytes()) == (b"another model", b"a model")


# --- atomic writes


@pytest.mark.parametrize("kind", ["write", "upload"])
def test_a_reader_never_sees_half_a_file(kind: str, tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path / "workspace"))
    contents = [bytes([value]) * size for value, size in ((1, 2_000_000), (2, 1_500_000))]
    for number, content in enumerate(contents):
        (tmp_path / str(number)).write_bytes(content)
    workspace.write("file", contents[0])
    done = threading.Event()

    def write() -> None:
        for turn in range(60):
            if kind == "write":
                workspace.write("file", contents[turn % 2])
            else:
                workspace.upload(tmp_path / str(turn % 2), "file")
        done.set()

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        seen = {0: 0, 1: 0}
        while not done.is_set() and not writer.done():
            seen[contents.index(workspace.read("file"))] += 1
        writer.result()
    assert sum(seen.values()) > 10
    assert temporary_files(workspace) == []


def test_a_new_file_is_whole_when_it_appears(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path / "workspace"))
    content = b"x" * 4_000_000
    done = threading.Event()
    sizes: set[int] = set()

    def watch() -> None:
        file = tmp_path / "workspace" / "new"
        while not done.is_set():
            with contextlib.suppress(FileNotFoundError):
                sizes.add(file.stat().st_size)

    with ThreadPoolExecutor(1) as pool:
        watcher = pool.submit(watch)
        for _ in range(20):
            assert workspace.write_new("new", content)
            workspace.delete("new")
        assert workspace.write_new("new", content)
        while not sizes and not watcher.done():
            pass
        done.set()
        watcher.result()
    assert sizes == {len(content)}


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path / "workspace"))
    workspace.write("folder/file", b"x")
    with pytest.raises(WorkspaceError, match="cannot write"):
        workspace.write("folder", b"a file where a folder stands")
    with pytest.raises(WorkspaceError, match="cannot write"):
        workspace.upload(tmp_path / "absent", "new")
    assert workspace.list() == ["folder/file"]
    assert temporary_files(workspace) == []


def test_a_put_whose_answer_was_lost_counts_once(tmp_path: Path) -> None:
    (tmp_path / "remote").mkdir()
    workspace = Workspace(f"counted://{tmp_path}/remote")
    CountedFileSystem.lost_answers = 1
    assert workspace.write_new("a.json", b"mine") is True
    assert workspace.write_new("a.json", b"mine") is False
    (tmp_path / "remote" / "aliases").mkdir()
    CountedFileSystem.lost_answers = 1
    assert VersionedDocument(workspace, "aliases").update(increment) == 1
    assert VersionedDocument(workspace, "aliases").read() == (1, b'{"count": 1}')


# --- refusals


def test_a_workspace_that_cannot_be_written_is_refused_with_a_cure(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for url in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(WorkspaceError, match="file") as refusal:
            Workspace(str(url)).check_writable()
        assert "may be a file" in refusal.value.cure


def test_check_writable_leaves_the_mark_alone(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path / "workspace"))
    workspace.check_writable()
    assert [file.name for file in (tmp_path / "workspace").rglob("*") if file.is_file()] == [MARK]


def test_errors_of_the_system_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WorkspaceError, match="No space left"):
        Workspace(str(tmp_path / "workspace")).write("a", b"x")
    monkeypatch.undo()
    assert temporary_files(Workspace(str(tmp_path / "workspace"))) == []


@pytest.mark.service
def test_azure_without_the_container_or_the_right_to_write(azurite: Azurite) -> None:
    with pytest.raises(WorkspaceError, match="no-such-container"):
        Workspace("az://no-such-container", {"connection_string": azurite.connection_string}).check_writable()
    with azurite.new_container() as container:
        token = generate_container_sas(
            azurite.account,
            container.container_name,
            account_key=azurite.key,
            permission=ContainerSasPermissions(read=True, list=True),
            expiry=datetime.now(UTC) + timedelta(hours=1),
        )
        read_only = f"BlobEndpoint={azurite.endpoint};SharedAccessSignature={token}"
        with pytest.raises(WorkspaceError) as refusal:
            Workspace(f"az://{container.container_name}", {"connection_string": read_only}).check_writable()
        assert "Contributor" in refusal.value.cure
        assert token.partition("sig=")[2][:12] not in str(refusal.value)


@pytest.mark.slow
def test_azure_where_nothing_listens(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}/account"
        string = f"AccountName=account;AccountKey=c2VjcmV0;BlobEndpoint={endpoint}"
        with pytest.raises(WorkspaceError, match="cannot create"):
            Workspace("az://container", {"connection_string": string}).check_writable()


# --- documents with several writers


def increment(content: bytes | None) -> bytes:
    count = 0 if content is None else json.loads(content)["count"]
    return json.dumps({"count": count + 1}).encode()


def update_many_times(make: Callable[[], Workspace], times: int) -> None:
    document = VersionedDocument(make(), "models/m/aliases")
    for _ in range(times):
        document.update(increment)


class _LocalWorkspace:
    """Makes the workspace anew in another process."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self) -> Workspace:
        return Workspace(self.url)


def test_a_document_keeps_its_history(workspace: Workspace) -> None:
    document = VersionedDocument(workspace, "models/m/aliases")
    assert document.read() == (0, None)
    assert [document.update(increment) for _ in range(3)] == [1, 2, 3]
    assert document.read() == (3, b'{"count": 3}')
    assert document.versions() == [1, 2, 3]
    assert document.read_version(2) == b'{"count": 2}'
    assert document.update(lambda content: content or b"") == 3
    assert workspace.list("models/m/aliases")[0] == "models/m/aliases/00000001.json"


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    document = VersionedDocument(Workspace(str(tmp_path)), "ledger", ".parquet")
    document.update(lambda _: b"PAR1")

    def fail(_: bytes | None) -> bytes:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        document.update(fail)
    assert document.read() == (1, b"PAR1")


def test_threads_lose_no_update(workspace: Workspace) -> None:
    writers, times = 4, 12
    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(lambda _: update_many_times(lambda: workspace, times), range(writers)))
    document = VersionedDocument(workspace, "models/m/aliases")
    assert document.read() == (writers * times, b'{"count": %d}' % (writers * times))


@pytest.mark.slow
def test_processes_lose_no_update(tmp_path: Path) -> None:
    writers, times = 3, 30
    context = multiprocessing.get_context("spawn")
    make = _LocalWorkspace(str(tmp_path))
    processes = [context.Process(target=update_many_times, args=(make, times)) for _ in range(writers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * writers
    expected = (writers * times, b'{"count": %d}' % (writers * times))
    assert VersionedDocument(make(), "models/m/aliases").read() == expected
    assert temporary_files(make()) == []


def test_threads_lose_no_update_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, "no hard links on this mount")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    workspace = Workspace(str(tmp_path))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: update_many_times(lambda: workspace, 20), range(4)))
    assert VersionedDocument(workspace, "models/m/aliases").read() == (80, b'{"count": 80}')


@pytest.mark.service
def test_two_azure_clients_lose_no_update(azurite: Azurite) -> None:
    with azurite.new_container() as container:
        clients = [azure_workspace(azurite, container.container_name) for _ in range(2)]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda client: update_many_times(lambda: client, 20), clients))
        document = VersionedDocument(clients[0], "models/m/aliases")
        assert document.read() == (40, b'{"count": 40}')
        assert document.versions() == list(range(1, 41))
