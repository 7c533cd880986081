"""Node.js is there without being installed: the package's takes the place of one that is missing or too old."""

import os
import subprocess
from pathlib import Path

import pytest
from support.repository import REPOSITORY

NODE = REPOSITORY / "infra" / "node"
PLAIN = ("bash", "env", "sort", "head", "dirname")


def asked(path: Path, *command: str) -> str:
    """What a command says where only the programs in a folder are at hand."""
    done = subprocess.run(
        [NODE, *command], env={**os.environ, "PATH": str(path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder with a shell's own programs, and no Node.js."""
    for name in PLAIN:
        (tmp_path / name).symlink_to(
            next(path for path in (Path("/usr/bin"), Path("/bin")) if (path / name).exists()) / name
        )
    return tmp_path


def test_without_node_the_packages_node_and_npm_are_run(bare: Path) -> None:
    assert int(asked(bare, "node", "--version").lstrip("v").split(".")[0]) >= 20
    assert int(asked(bare, "npm", "--version").split(".")[0]) >= 10


def test_an_old_node_is_passed_over_and_a_new_one_is_taken(bare: Path) -> None:
    node = bare / "node"
    for version, taken in (("v18.20.0", False), ("v20.19.0", True), ("v99.0.0", True)):
        node.write_text(f"#!/bin/bash\necho {version}\n")
        node.chmod(0o755)
        assert (asked(bare, "node", "--version") == version) is taken
