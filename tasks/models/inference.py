"""An exported graph at work, with the settings of every place where Lightbox predicts."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.models.runtimes import OnnxRuntime, OpenVino, Precision, Runtime
from tasks.work.progress import Progress, silent

ACTIVATION_MAP: Final = "activation_map"
"""The graphs' optional output: how much each place speaks for each class, float32 (N, C, h, w)."""

_CPU_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")


def available_cpus() -> int:
    """Processors that this process may use: its affinity, and the quota of its container."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CPU_QUOTA.read_text().split()
        return cpus if quota == "max" else max(1, min(cpus, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return cpus


def probabilities(
    logits: NDArray[np.floating], temperature: float = 1.0, offsets: Sequence[float] = ()
) -> NDArray[np.float64]:
    """Softmax of logits (N, C) divided by a temperature, and moved by offsets (C,): (N, C), rows sum to 1."""
    scaled = logits.astype(np.float64) / temperature
    if offsets:
        scaled += np.asarray(offsets, np.float64)
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True, initial=-np.inf))
    result: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return result


class Graph:
    """One ONNX file, loaded; its methods may be called from several threads.

    On a CPU `threads` images are computed at once (default: one for each available processor), each on one thread.

    Raises:
        BundleError: the file cannot be loaded, or it is no graph from pixels to logits.
    """

    def __init__(self, path: Path, threads: int | None = None, precision: Precision = "float32") -> None:
        self._at_once = threads or available_cpus()
        self._runtime: Runtime = (
            OnnxRuntime(path) if precision == "float32" else OpenVino(path, available_cpus())
        )
        self.size_px, self.n_classes = self._runtime.size_px, self._runtime.n_classes
        self.has_class_maps = ACTIVATION_MAP in self._runtime.outputs

    def logits(self, pixels: NDArray[np.uint8], progress: Progress = silent) -> NDArray[np.float32]:
        """From uint8 (N, S, S, 3) RGB, N >= 0, to float32 (N, C), averaged over the graph's test views.

        Raises:
            ValueError: another shape or type.
        """
        self._check(pixels)
        starts = range(0, len(pixels), self._runtime.batch_size)
        found = np.empty((len(pixels), self.n_classes), np.float32)
        if self._at_once == 1 or len(starts) <= 1:
            _collect((self._logits(pixels, start) for start in starts), found, progress)
            return found
        with ThreadPoolExecutor(min(self._at_once, len(starts))) as pool:
            _collect(pool.map(lambda start: self._logits(pixels, start), starts), found, progress)
        return found

    def class_maps(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """From uint8 (N, S, S, 3) RGB to float32 (N, C, h, w), whose mean over the places is the logits.

        Raises:
            ValueError: the graph has none (see `has_class_maps`), or another shape or type.
        """
        if not self.has_class_maps:
            raise ValueError("this graph has no class maps")
        self._check(pixels)
        return self._runtime.run(ACTIVATION_MAP, np.ascontiguousarray(pixels))

    def _logits(self, pixels: NDArray[np.uint8], start: int) -> NDArray[np.float32]:
        batch = np.ascontiguousarray(pixels[start : start + self._runtime.batch_size])
        return self._runtime.run("logits", batch)

    def _check(self, pixels: NDArray[np.uint8]) -> None:
        side = self.size_px
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (side, side, 3):
            raise ValueError(
                f"uint8 (N, {side}, {side}, 3) is needed, given is {pixels.dtype} {pixels.shape}"
            )


def _collect(results: Iterable[NDArray[np.float32]], found: NDArray[np.float32], progress: Progress) -> None:
    done = 0
    for rows in results:
        found[done : done + len(rows)] = rows
        done += len(rows)
        progress(done, len(found), "images")
