"""Which device a training takes."""

import pytest
import torch

from tasks.errors import ConfigError
from tasks.training.device import compute_on


def test_devices() -> None:
    assert compute_on("cpu").device.type == "cpu"
    assert compute_on("cpu").dtype in {torch.bfloat16, torch.float32}
    with pytest.raises(ConfigError, match="'tpu' is unknown"):
        compute_on("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no CUDA device"):
            compute_on("cuda")
