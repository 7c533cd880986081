"""Backup and restore of one machine: its data folder in one archive, without what can be had again."""

import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

from deployments.machine.machine import Machine
from deployments.machine.secret_file import DATABASE
from deployments.machine.settings import data_folder
from deployments.machine.supervision import Supervisor
from deployments.machine.up import locked
from tasks.errors import ConfigError
from tasks.stores.permissions import make_private

LEFT_OUT: Final = frozenset({"cache", "logs", "lock", "supervisor.sock", "supervisor.pid"})
DUMP: Final = "prefect.dump"
"""What `pg_dump` said, where Prefect's database is PostgreSQL."""


def back_up(to: Path) -> Path:
    """Write the machine's settings, secrets, stores and databases into a new archive in `to`; which one.

    Raises:
        ConfigError: the machine is up, or the archive cannot be written.
    """
    machine = Machine.here()
    with locked(machine):
        _require_stopped(machine)
        make_private(to)
        archive = to / f"machine-{datetime.now(UTC):%Y%m%d-%H%M%S}.tar.gz"
        temporary = to / f".{uuid4().hex}"
        try:
            _dump_database(machine)
            with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                with tarfile.open(fileobj=file, mode="w:gz") as tar:
                    for name in sorted(path.name for path in machine.folder.iterdir()):
                        if name not in LEFT_OUT:
                            tar.add(machine.folder / name, name)
                file.flush()
                os.fsync(file.fileno())
            digest = _sha256(temporary)
            archive.with_suffix(".sha256").write_text(f"{digest}\n")
            temporary.replace(archive)
        except OSError as error:
            raise ConfigError(
                f"the backup {archive} cannot be written: {error.strerror or error}",
                cure="free room there, or name another folder",
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
            (machine.folder / DUMP).unlink(missing_ok=True)
    return archive


def restore(archive: Path) -> Path:
    """Put an archive back into a data folder that has nothing yet; which folder.

    The whole is unpacked beside it first: killed in the middle, nothing is there, and the same command goes on.

    Raises:
        ConfigError: the folder has data, or the archive is damaged.
    """
    folder = data_folder()
    there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if there:
        raise ConfigError(
            f"{folder} is not empty: it holds {', '.join(there[:5])}",
            cure="`make down`, move the folder away, and restore again; or set LIGHTBOX_HOME to another",
        )
    try:
        known = archive.with_suffix(".sha256").read_text().strip()
        if _sha256(archive) != known:
            raise ConfigError(
                f"{archive} is damaged: its SHA-256 is not {known}", cure="restore an earlier one"
            )
        make_private(folder.parent)
        beside = folder.with_name(f".{folder.name}-{uuid4().hex[:8]}")
        make_private(beside)
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(beside, filter="data")
            if folder.is_dir():
                folder.rmdir()
            beside.rename(folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except (OSError, tarfile.TarError) as error:
        raise ConfigError(f"{archive} cannot be restored: {error}", cure="restore an earlier one") from error
    _load_database(Machine.here())
    return folder


def _require_stopped(machine: Machine) -> None:
    if Supervisor(machine).identifier is not None:
        raise ConfigError(
            f"the parts on {machine.folder} are running: what they write meanwhile would be half in the backup",
            cure="`make down`, back up, `make up`",
        )


def _database(machine: Machine) -> str | None:
    url = machine.secrets.get(DATABASE)
    return url.replace("+asyncpg", "", 1) if url and url.startswith("postgresql") else None


def _dump_database(machine: Machine) -> None:
    url = _database(machine)
    if url is not None:
        _run("pg_dump", "--format=custom", "--file", str(machine.folder / DUMP), url)


def _load_database(machine: Machine) -> None:
    dump, url = machine.folder / DUMP, _database(machine)
    if url is not None and dump.is_file():
        _run("pg_restore", "--clean", "--if-exists", "--no-owner", "--dbname", url, str(dump))
    dump.unlink(missing_ok=True)


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ConfigError(
            f"{command[0]} is missing, which Prefect's PostgreSQL needs",
            cure="install PostgreSQL's client programs",
        ) from None
    if done.returncode:
        last = next(iter(_lines(done.stderr)), "no reason given")
        raise ConfigError(
            f"{command[0]} failed: {last}", cure=f"check {DATABASE} in the secrets of the machine"
        )


def _lines(text: str) -> Iterator[str]:
    return (line for line in reversed(text.splitlines()) if line.strip())


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
