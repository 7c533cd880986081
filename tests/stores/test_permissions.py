"""Patients' images and what is made of them are for this user, whatever the shell's umask says."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.engine.run import open_run
from tasks.stores.datastore import Datastore
from tasks.stores.fetch import ContentCache
from tasks.stores.permissions import make_private, open_to_others
from tasks.stores.workspace import Workspace


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """What most systems give their users."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(root: Path) -> set[str]:
    """Of the folder and all below it."""
    return {oct(stat.S_IMODE(path.stat().st_mode)) for path in (root, *root.rglob("*"))}


def fill(root: Path, source: Path) -> None:
    workspace = Workspace(str(root))
    workspace.write("runs/1/report.html", b"figures")
    assert workspace.write_new("models/m/claims/v1.json", b"{}")
    source.write_bytes(b"pixels")
    workspace.upload(source, "cache/images/a/shard.npy")


def test_a_workspace_is_for_its_user(tmp_path: Path) -> None:
    fill(tmp_path / "above" / "workspace", tmp_path / "source")
    assert modes(tmp_path / "above") == {"0o700", "0o600"}


def test_a_folder_that_was_there_keeps_its_mode_and_what_is_written_in_it_is_closed(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    root.mkdir(0o755)
    fill(root, tmp_path / "source")
    assert modes(root) == {"0o755", "0o700", "0o600"}
    assert {path.name for path in root.iterdir() if open_to_others(path)} == set()


def test_a_folder_that_is_shared_with_a_group_stays_so(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    root.mkdir()
    root.chmod(0o770)
    os.umask(0o002)
    fill(root, tmp_path / "source")
    assert modes(root) == {"0o770", "0o660"}


def test_the_cache_is_for_its_user(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "a.png").write_bytes(b"pixels")
    store = Datastore(str(images))
    ContentCache(tmp_path / "above" / "cache", store).fetch(store.blobs())
    folders = {
        oct(stat.S_IMODE(path.stat().st_mode)) for path in (tmp_path / "above").rglob("*") if path.is_dir()
    }
    assert folders == {"0o700"}
    assert modes(tmp_path / "above") <= {"0o700", "0o600", "0o644"}


def test_a_place_that_all_may_look_into_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "open").mkdir(0o755)
    open_run(str(tmp_path / "closed"), None, "data")
    assert "every user" not in caplog.text
    open_run(str(tmp_path / "open"), None, "data")
    assert f"may look into the workspace: chmod o= {tmp_path / 'open'}" in caplog.text


def test_a_file_in_the_way_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(NotADirectoryError):
            make_private(folder)
