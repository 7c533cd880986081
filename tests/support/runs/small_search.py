"""A search that takes seconds, for the tests that run one as a user does."""

import sys
from pathlib import Path

import pytest

from tasks.demo.data_set import DemoSummary

SPACE = """
backbones: [efficientnet_lite0]
sizes_px: [64]
fit: [letterbox]
epochs: [2]
learning_rate: {low: 0.0001, high: 0.003}
"""
COMMAND = str(Path(sys.executable).parent / "lightbox")


@pytest.fixture(scope="session")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its search space, as a file."""
    path = tmp_path_factory.mktemp("space") / "space.yaml"
    path.write_text(SPACE)
    return path


def arguments(demo: DemoSummary, workspace: Path, space: Path, command: str = "search") -> list[str]:
    """A search that takes seconds."""
    return [
        *(command, "--images", str(demo.images), "--workspace", str(workspace), "--name", "small"),
        *("--positive-class", "yes", "--preset", "fast", "--folds", "3", "--max-trials", "2"),
        *("--minutes", "30", "--space", str(space), "--no-near-copies", "--quiet"),
    ]


def trainings(workspace: Path) -> dict[str, int]:
    """Every finished training, and when it was written."""
    folder = workspace / "stages" / "search-unit"
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.json")}
