"""What computes a graph: ONNX Runtime in float32, or OpenVINO in bfloat16 on a processor that is fast in it."""

import threading
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from tasks.errors import BundleError

Precision = Literal["float32", "bfloat16"]
"""What a graph is computed in."""

CUDA_BATCH: Final = 64
"""Images at once on a GPU. A CPU takes one image a thread: with two threads and four test views that was as fast as
two threads on one image, and faster than batches of 16, whose activations do not fit its caches."""

_OPENVINO_BEGINS: Final = threading.Lock()
"""OpenVINO's bindings make what they share at their first call, and two first calls at once block each other for
ever, one with that in hand and the other with Python's lock. So a graph is loaded and tried by one thread at a time."""

_CPU_FLAGS: Final = Path("/proc/cpuinfo")


class Runtime(Protocol):
    """A loaded graph from pixels, uint8 (N, S, S, 3), to named outputs."""

    @property
    def size_px(self) -> int:
        """Side of an image."""
        ...

    @property
    def n_classes(self) -> int:
        """Columns of the logits."""
        ...

    @property
    def outputs(self) -> Sequence[str]:
        """Names of the outputs."""
        ...

    @property
    def batch_size(self) -> int:
        """Images of one call."""
        ...

    def run(self, output: str, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """One output for a contiguous batch; may be called from several threads."""
        ...


class OnnxRuntime:
    """ONNX Runtime, float32; CUDA where it has it, else the CPU with one thread a call.

    Raises:
        BundleError: it cannot load the file, or it is no graph from pixels to logits.
    """

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        installed = onnxruntime.get_available_providers()
        providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in installed]
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
            (given,), found = self._session.get_inputs(), self._session.get_outputs()
            self.size_px, self.n_classes = int(given.shape[1]), int(found[0].shape[1])
            self.outputs = [output.name for output in found]
            self.batch_size = CUDA_BATCH if "CUDAExecutionProvider" in self._session.get_providers() else 1
        except Exception as error:
            raise _not_loaded(path, f"ONNX Runtime {onnxruntime.__version__}", error) from error

    def run(self, output: str, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """One output for a contiguous batch."""
        result: NDArray[np.float32] = self._session.run([output], {"pixels": pixels})[0]
        return result


class OpenVino:
    """OpenVINO in bfloat16 on the CPU, one thread a call and up to `at_once` calls.

    Raises:
        BundleError: it cannot load the file.
    """

    batch_size = 1

    def __init__(self, path: Path, at_once: int) -> None:
        import openvino

        settings = {
            "INFERENCE_PRECISION_HINT": "bf16",
            "INFERENCE_NUM_THREADS": at_once,
            "NUM_STREAMS": at_once,
        }
        self._requests = threading.local()
        try:
            with _OPENVINO_BEGINS:
                model = openvino.Core().read_model(path)
                given, found = model.inputs[0], model.outputs
                self.size_px = int(given.get_partial_shape()[1].get_length())
                self.n_classes = int(found[0].get_partial_shape()[1].get_length())
                self.outputs = [output.get_any_name() for output in found]
                self._compiled = openvino.Core().compile_model(model, "CPU", settings)
                self.run(self.outputs[0], np.zeros((1, self.size_px, self.size_px, 3), np.uint8))
        except Exception as error:
            raise _not_loaded(path, f"OpenVINO {openvino.__version__}", error) from error

    def run(self, output: str, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """One output for a contiguous batch."""
        request = getattr(self._requests, "own", None)
        if request is None:
            request = self._requests.own = self._compiled.create_infer_request()
        answer: Any = request.infer({"pixels": pixels})
        return np.array(answer[self.outputs.index(output)], np.float32)


def faster_runtime() -> str | None:
    """Name and version of what computes in bfloat16 here; None without it, or where it would not be faster."""
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        return None
    try:
        found = version("openvino")
        flags = _CPU_FLAGS.read_text()
    except (PackageNotFoundError, OSError):
        return None
    return f"openvino {found}" if "avx512_bf16" in flags or "amx_bf16" in flags else None


def _not_loaded(path: Path, runtime: str, error: Exception) -> BundleError:
    return BundleError(
        f"{path} cannot be loaded by {runtime}: {error}",
        cure="export the bundle again, or install the version of ONNX Runtime that bundle.json names",
    )
