"""A real PostgreSQL of one's own for a Prefect server, where its programs are installed."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def postgres(port: int) -> Iterator[str | None]:
    """The connection URL of an empty database on loopback; None where PostgreSQL is not installed.

    Prefect's SQLite refuses writes when it is busy, and the server then repeats what it has half done, messages to
    people included; production runs on PostgreSQL.
    """
    if shutil.which("initdb") is None or shutil.which("pg_ctl") is None:
        yield None
        return
    user = _unprivileged()
    with tempfile.TemporaryDirectory(prefix="lightbox-postgres-", dir="/tmp") as name:
        folder = Path(name)
        if user is not None:
            shutil.chown(folder, user)
        _run(["initdb", "-D", name + "/data", "-U", "prefect", "-A", "trust", "--no-sync"], user)
        options = f"-h 127.0.0.1 -p {port} -k {name} -c fsync=off -c max_connections=200"
        _run(["pg_ctl", "-D", name + "/data", "-l", name + "/log", "-w", "-o", options, "start"], user)
        try:
            yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/postgres"
        finally:
            _run(["pg_ctl", "-D", name + "/data", "-m", "immediate", "-w", "stop"], user)


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root; anybody else runs it as themselves."""
    if os.geteuid() != 0:
        return None
    names = {row.pw_name for row in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _run(command: list[str], user: str | None) -> None:
    subprocess.run(
        command,
        user=user,
        check=True,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        timeout=60,
    )
