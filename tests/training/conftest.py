"""Fixtures of the training tests."""

import pytest
from support.one_thread import one_thread
from support.samples.disc_pictures import Pictures, picture, sha256_of, table

from tasks.data.training_view import TrainingView

__all__ = ["one_thread", "pictures", "view"]


@pytest.fixture(scope="session")
def pictures() -> Pictures:
    """Images 0 to 63; of every four, the last two have a disc."""
    return Pictures({sha256_of(i): picture(i, i % 4 >= 2) for i in range(64)})


@pytest.fixture(scope="session")
def view() -> TrainingView:
    """Of 32 images, the 24 outside fold 0."""
    return TrainingView(table(32), {0})
