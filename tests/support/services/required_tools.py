"""Programs that tests need: a test is skipped where one is missing, and fails in CI."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.repository import REPOSITORY


def required(name: str, how: str) -> str:
    """The program's path, looked for beside Python first."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        absent(f"{name} is missing: {how}")
    return str(found)


def absent(message: str) -> None:
    """Skip; in CI nothing may be missing."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(message)
    pytest.skip(message)


def output_of(*command: str, environment: dict[str, str] | None = None, seconds: float = 120) -> str:
    """What a command says on standard output; a failure shows all that it said."""
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
        env={**os.environ, **(environment or {})},
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout
