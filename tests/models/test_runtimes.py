"""The faster precision says the same within its rounding, and is used only where evaluation accepted it."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from support.repository import REPOSITORY
from support.samples.small_bundles import pixels

from tasks.errors import BundleError
from tasks.models import runtimes
from tasks.models.bundle import load_bundle
from tasks.models.manifest import FasterPrecision, amend
from tasks.models.runtimes import OpenVino, faster_runtime


def found(accepted: bool) -> FasterPrecision:
    return FasterPrecision(
        runtime="openvino 1",
        n=40,
        auc_difference=0.0,
        accuracy_difference=0.0,
        recall_difference=0.0,
        specificity_difference=0.0,
        accepted=accepted,
    )


def test_bfloat16_says_the_same_within_its_rounding(exported: Path) -> None:
    images = pixels(24)
    exact, faster = load_bundle(exported), load_bundle(exported, threads=2, precision="bfloat16")
    for member in (None, 0, 2):
        wanted, said = exact.predict_pixels(images, member), faster.predict_pixels(images, member)
        assert np.corrcoef(wanted.ravel(), said.ravel())[0, 1] > 0.999
        assert np.abs(wanted - said).max() < 0.05 * np.ptp(wanted)
    maps, maps_faster = exact.class_maps(images[:2]), faster.class_maps(images[:2])
    assert maps is not None and maps_faster is not None
    assert np.corrcoef(maps.ravel(), maps_faster.ravel())[0, 1] > 0.999
    with ThreadPoolExecutor(4) as pool:
        for said in pool.map(lambda _: faster.predict_pixels(images[:6]), range(8)):
            np.testing.assert_array_equal(said, faster.predict_pixels(images[:6]))


@pytest.mark.parametrize("accepted", [True, False])
def test_it_is_used_only_where_it_was_accepted(
    exported: Path, tmp_path: Path, accepted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Path(shutil.copytree(exported, tmp_path / "bundle"))
    assert load_bundle(bundle, precision="accepted").precision == "float32"
    amend(bundle, faster=found(accepted).model_dump())
    here = faster_runtime() is not None
    expected = "bfloat16" if accepted and here else "float32"
    assert load_bundle(bundle, precision="accepted").precision == expected
    flags = tmp_path / "cpuinfo"
    flags.write_text("flags : fpu avx2\n")
    monkeypatch.setattr(runtimes, "_CPU_FLAGS", flags)
    assert load_bundle(bundle, precision="accepted").precision == "float32"


_FIRST_CALLS_AT_ONCE = """
import sys, threading
from pathlib import Path
import numpy as np
from tasks.models.runtimes import OpenVino
sys.setswitchinterval(1e-6)
graph, start = OpenVino(Path(sys.argv[1]), 8), threading.Barrier(8)
def call():
    start.wait()
    graph.run("logits", np.zeros((1, graph.size_px, graph.size_px, 3), np.uint8))
threads = [threading.Thread(target=call, daemon=True) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join(30)
sys.exit(any(thread.is_alive() for thread in threads))
"""


@pytest.mark.slow
def test_the_first_calls_of_a_process_may_come_at_once(exported: Path) -> None:
    """Without a first call on the thread that loads the graph, a third of such processes hung."""
    for _ in range(4):
        done = subprocess.run(
            [sys.executable, "-c", _FIRST_CALLS_AT_ONCE, str(exported / "model.onnx")],
            cwd=REPOSITORY,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0


def test_a_damaged_graph_is_refused(tmp_path: Path) -> None:
    damaged = tmp_path / "model.onnx"
    damaged.write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"model\.onnx cannot be loaded by OpenVINO"):
        OpenVino(damaged, 1)
