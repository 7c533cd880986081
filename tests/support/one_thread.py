"""For the rooms whose tests train networks: one thread, since tests share the machine."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Torch on one thread."""
    torch.set_num_threads(1)
