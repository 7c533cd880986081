"""An exported graph at work: ONNX Runtime with the settings of every place where Lightbox predicts."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from tasks.data.progress import Progress, silent
from tasks.errors import BundleError

CUDA_BATCH: Final = 64
"""Images at once on a GPU. A CPU takes one image a thread: with two threads and four test views that was as fast as
two threads on one image, and faster than batches of 16, whose activations do not fit its caches."""

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


def probabilities(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Softmax of logits (N, C) divided by a temperature: (N, C), each row summing to 1."""
    scaled = logits.astype(np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True, initial=-np.inf))
    result: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return result


class Graph:
    """One ONNX file, loaded; `logits` may be called from several threads.

    CUDA is used where this ONNX Runtime has it, else the CPU with `threads` images at once (default: one for each
    available processor), each on one thread.

    Raises:
        BundleError: ONNX Runtime cannot load the file, or it is no graph from pixels to logits.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._at_once = threads or available_cpus()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=_providers())
            self._batch_size = CUDA_BATCH if "CUDAExecutionProvider" in self._session.get_providers() else 1
            (given,), (result, *more) = self._session.get_inputs(), self._session.get_outputs()
            self.size_px, self.n_classes = int(given.shape[1]), int(result.shape[1])
            self.has_class_maps = [output.name for output in more] == [ACTIVATION_MAP]
        except Exception as error:
            raise BundleError(
                f"{path} cannot be loaded by ONNX Runtime {onnxruntime.__version__}: {error}",
                cure="export the bundle again, or install the version of ONNX Runtime that bundle.json names",
            ) from error

    def logits(self, pixels: NDArray[np.uint8], progress: Progress = silent) -> NDArray[np.float32]:
        """From uint8 (N, S, S, 3) RGB, N >= 0, to float32 (N, C), averaged over the graph's test views.

        Raises:
            ValueError: another shape or type.
        """
        self._check(pixels)
        starts = range(0, len(pixels), self._batch_size)
        found = np.empty((len(pixels), self.n_classes), np.float32)
        if self._at_once == 1 or len(starts) == 1:
            results: Iterable[NDArray[np.float32]] = (self._run(pixels, start) for start in starts)
            self._collect(results, found, progress)
            return found
        with ThreadPoolExecutor(min(self._at_once, len(starts) or 1)) as pool:
            self._collect(pool.map(lambda start: self._run(pixels, start), starts), found, progress)
        return found

    def _run(self, pixels: NDArray[np.uint8], start: int) -> NDArray[np.float32]:
        batch = np.ascontiguousarray(pixels[start : start + self._batch_size])
        result: NDArray[np.float32] = self._session.run(["logits"], {"pixels": batch})[0]
        return result

    def _collect(
        self, results: Iterable[NDArray[np.float32]], found: NDArray[np.float32], progress: Progress
    ) -> None:
        done = 0
        for rows in results:
            found[done : done + len(rows)] = rows
            done += len(rows)
            progress(done, len(found), "images")

    def class_maps(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """From uint8 (N, S, S, 3) RGB to float32 (N, C, h, w), whose mean over the places is the logits.

        Raises:
            ValueError: the graph has none (see `has_class_maps`), or another shape or type.
        """
        if not self.has_class_maps:
            raise ValueError("this graph has no class maps")
        self._check(pixels)
        found: NDArray[np.float32] = self._session.run(
            [ACTIVATION_MAP], {"pixels": np.ascontiguousarray(pixels)}
        )[0]
        return found

    def _check(self, pixels: NDArray[np.uint8]) -> None:
        side = self.size_px
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (side, side, 3):
            raise ValueError(
                f"uint8 (N, {side}, {side}, 3) is needed, given is {pixels.dtype} {pixels.shape}"
            )


def _providers() -> Sequence[str]:
    installed = onnxruntime.get_available_providers()
    return [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in installed]
