"""One exported bundle for all tests that only read it."""

from pathlib import Path

import pytest
from support.samples.small_bundles import facts, members, write_bundle

from tasks.models.training_images import TrainingImage, TrainingImages


def digest(letter: str) -> str:
    return letter * 64


TRAINED = TrainingImages(
    images=(
        TrainingImage(sha256=digest("a"), group="one", fold=0, members=(1, 2)),
        TrainingImage(sha256=digest("b"), group="one", fold=0, members=(1, 2)),
        TrainingImage(sha256=digest("c"), group="two", fold=1, members=(0, 2)),
        TrainingImage(sha256=digest("d"), group="three", fold=2, members=(0, 1)),
    )
)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three members that share their first stage, with a threshold and two test views. Not to be changed."""
    folder = tmp_path_factory.mktemp("exported") / "bundle"
    said = facts(test_views=("identity", "hflip"), threshold=0.3)
    write_bundle(folder, members(3, frozen_stages=1), said, TRAINED)
    return folder
