"""A machine's data folder is backed up, destroyed and restored; nothing is written over, damage is seen."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from deployments.machine.backup import back_up, restore
from deployments.machine.machine import Machine
from deployments.machine.supervision import Supervisor
from tasks.errors import ConfigError


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine that was up once and has a database, blobs and settings."""
    monkeypatch.setenv("LIGHTBOX_HOME", str(tmp_path / "home"))
    machine = Machine.here()
    assert machine.secrets
    with closing(sqlite3.connect(machine.folder / "prefect" / "prefect.db")) as database, database:
        database.execute("CREATE TABLE run (name TEXT)")
        database.execute("INSERT INTO run VALUES ('first')")
    (machine.folder / "blobs" / "a").write_bytes(b"blob")
    (machine.folder / "cache").mkdir()
    (machine.folder / "cache" / "large").write_bytes(b"x")
    return machine


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    left_out = ("cache", "logs", "lock")
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mode, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] not in left_out
    }


def test_destroyed_and_restored_everything_is_as_it_was(machine: Machine, tmp_path: Path) -> None:
    before = files(machine.folder)
    archive = back_up(tmp_path / "backups")
    assert archive.stat().st_mode & 0o077 == 0, "it holds the secrets"
    shutil.rmtree(machine.folder)
    assert restore(archive) == machine.folder
    assert files(machine.folder) == before
    assert machine.folder.stat().st_mode & 0o077 == 0
    assert Machine.here().secrets == machine.secrets
    with closing(sqlite3.connect(machine.folder / "prefect" / "prefect.db")) as database:
        assert database.execute("SELECT name FROM run").fetchall() == [("first",)]


def test_nothing_is_written_over(machine: Machine, tmp_path: Path) -> None:
    archive = back_up(tmp_path / "backups")
    with pytest.raises(ConfigError, match="is not empty"):
        restore(archive)


def test_damage_is_seen_before_anything_is_written(machine: Machine, tmp_path: Path) -> None:
    archive = back_up(tmp_path / "backups")
    archive.write_bytes(archive.read_bytes()[:-1] + b"x")
    shutil.rmtree(machine.folder)
    with pytest.raises(ConfigError, match="is damaged"):
        restore(archive)
    assert not machine.folder.exists()


def test_a_machine_that_is_up_is_not_backed_up(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Supervisor, "identifier", "lightbox-1")
    with pytest.raises(ConfigError, match="are running"):
        back_up(tmp_path / "backups")
    assert not (tmp_path / "backups").exists()
