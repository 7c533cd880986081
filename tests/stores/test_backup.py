"""A workspace of an earlier version is backed up, destroyed and restored: the same bytes, aliases and answers."""

import hashlib
from pathlib import Path

import pytest
from support.runs.main_job import lightbox
from support.samples.stored_workspace import WORKSPACE

from tasks.errors import WorkspaceError
from tasks.ingest import Listing
from tasks.models.registry import Registry
from tasks.stores.backup import LEFT_OUT, BackupStore
from tasks.stores.layout import place_of
from tasks.stores.workspace import Workspace


def contents(workspace: Workspace) -> dict[str, str]:
    """Digests of all that a backup is to hold."""
    paths = [path for path in workspace.list() if place_of(path).kind not in LEFT_OUT]
    return {path: hashlib.sha256(workspace.read(path)).hexdigest() for path in paths}


def test_destroyed_and_restored_it_says_the_same(stored_listing: Listing, tmp_path: Path) -> None:
    workspace, store = Workspace(WORKSPACE), BackupStore(Workspace(str(tmp_path / "backups")))
    before, aliases = contents(workspace), Registry(workspace).aliases("stored")
    assert len(before) > 80 and aliases.champion is not None
    backup = store.back_up(workspace)
    for path in workspace.list():
        workspace.delete(path)
    with pytest.raises(WorkspaceError):
        workspace.read_verified(stored_listing.table)
    store.restore(backup, workspace)
    assert contents(workspace) == before
    assert Registry(workspace).aliases("stored") == aliases
    assert [row.problem for row in Registry(workspace).list("stored")] == [None, None]
    workspace.read_verified(stored_listing.table)
    order = [place_of(file.path).kind for file in backup.files]
    assert max(i for i, kind in enumerate(order) if kind == "models") < order.index("aliases")


@pytest.fixture
def small(tmp_path: Path) -> Workspace:
    workspace = Workspace(str(tmp_path / "ws"))
    for number in range(5):
        workspace.write(f"runs/r/{number}.json", f"{number}".encode())
    workspace.write("cache/images/k/shard-1.npy", b"pixels")
    return workspace


def test_a_second_backup_copies_what_is_new_and_old_ones_go(small: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    store = BackupStore(Workspace(str(folder)))
    first = store.back_up(small)
    assert len(list(folder.glob("content/*/*"))) == 5
    small.write("runs/r/5.json", b"5")
    small.delete("runs/r/0.json")
    second = store.back_up(small)
    assert len(list(folder.glob("content/*/*"))) == 6
    assert (len(first.files), len(second.files)) == (5, 5)
    assert store.keep_newest(1) == sorted([first.id, second.id])[:1]
    assert len(list(folder.glob("content/*/*"))) == 5
    store.restore(store.read(), Workspace(str(tmp_path / "again")))


def test_killed_in_the_middle_a_restore_goes_on(small: Workspace, tmp_path: Path) -> None:
    store = BackupStore(Workspace(str(tmp_path / "backups")))
    backup, target = store.back_up(small), Workspace(str(tmp_path / "again"))
    target.write("runs/r/3.json", b"3")
    store.restore(backup, target)
    assert contents(target) == contents(small)


def test_nothing_is_written_over_and_damage_is_seen(small: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    store = BackupStore(Workspace(str(folder)))
    backup = store.back_up(small)
    other = Workspace(str(tmp_path / "other"))
    other.write("runs/another/1.json", b"1")
    with pytest.raises(WorkspaceError, match="is not empty"):
        store.restore(backup, other)
    changed = Workspace(str(tmp_path / "changed"))
    changed.write("runs/r/3.json", b"another")
    with pytest.raises(WorkspaceError, match="with another content"):
        store.restore(backup, changed)
    next(folder.glob("content/*/*")).write_bytes(b"rot")
    with pytest.raises(WorkspaceError, match="damaged"):
        store.restore(backup, Workspace(str(tmp_path / "third")))
    with pytest.raises(WorkspaceError, match="holds no backup x"):
        store.read("x")


def test_the_commands(small: Workspace, tmp_path: Path) -> None:
    where = ("--workspace", small.url, "--backups", tmp_path / "backups")
    done = lightbox("workspace", "backup", *where, cache=tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    assert "5 files" in done.stdout
    again = lightbox("workspace", "restore", *where, cache=tmp_path / "cache")
    assert again.returncode == 2, "the workspace is there, with its cache"
    there = ("--workspace", tmp_path / "again", "--backups", tmp_path / "backups")
    assert lightbox("workspace", "restore", *there, cache=tmp_path / "cache").returncode == 0
    assert contents(Workspace(str(tmp_path / "again"))) == contents(small)
