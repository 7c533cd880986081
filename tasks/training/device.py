"""Where and in which precision networks are computed."""

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

import torch

from tasks.errors import ConfigError

CPU_CHUNK: Final = 8
"""Images computed at once on a CPU without gradients: more do not fit the caches, and run slower."""
CUDA_CHUNK: Final = 128


@dataclass(frozen=True)
class Compute:
    """A device with the precision that it is fast in."""

    device: torch.device
    dtype: torch.dtype

    @property
    def kind(self) -> str:
        """What results depend on, whichever of several equal devices it is."""
        return f"{self.device.type} {self.dtype}"

    @property
    def chunk(self) -> int:
        """Images to compute at once where no gradient is needed."""
        return CPU_CHUNK if self.device.type == "cpu" else CUDA_CHUNK

    def autocast(self) -> AbstractContextManager[None]:
        """Compute in `dtype` what may be."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not torch.float32)


def compute_on(device: str = "auto") -> Compute:
    """Choose `auto`, `cpu` or `cuda`; bfloat16 only where the processor computes in it.

    Raises:
        ConfigError: CUDA was asked for and is not there.
    """
    cuda = torch.cuda.is_available()
    if device.startswith("cuda") and not cuda:
        raise ConfigError("device cuda: no CUDA device is usable", cure="use device auto or cpu")
    if device not in {"auto", "cpu"} and not device.startswith("cuda"):
        raise ConfigError(f"device {device!r} is unknown", cure="use auto, cpu or cuda")
    if device == "cpu" or not cuda:
        return Compute(torch.device("cpu"), torch.bfloat16 if _cpu_has_bfloat16() else torch.float32)
    dtype = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return Compute(torch.device("cuda" if device == "auto" else device), dtype)


def check_devices(device: str, n: int, n_images: int | None = None) -> None:
    """See that one training can have n processes, each with a GPU, or else a processor, and an image of its own.

    Raises:
        ConfigError: there are fewer, or as `compute_on`.
    """
    kind = compute_on(device).device
    if kind.type == "cpu":
        there, what = os.cpu_count() or 1, "processors"
    else:
        there, what = 1 if kind.index is not None else torch.cuda.device_count(), "GPUs"
    if n > there:
        raise ConfigError(
            f"devices {n}: there are {there} {what} for device {device}",
            cure=f"set devices to {there} or fewer",
        )
    if n_images is not None and n > n_images:
        raise ConfigError(f"devices {n}: there are {n_images} images", cure="set devices to 1")


def _cpu_has_bfloat16() -> bool:
    """By the processor's own flags: oneDNN also emulates bfloat16, which is slower than float32."""
    flags = torch.cpu.get_capabilities()
    return any(flags.get(flag, False) for flag in ("avx512_bf16", "amx_bf16", "bf16"))
