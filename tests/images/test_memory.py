"""What decoding takes of memory: told beforehand, never more, and shared by all threads."""

import io
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from support.repository import REPOSITORY
from support.samples.costly_images import LARGE_KINDS, jpeg_of_scans, large_image

from tasks.images.decode import decoded
from tasks.images.memory import peak_bytes
from tasks.images.settings import WORST_BYTES, DecodeLimits
from tasks.work.memory_budget import MemoryBudget

SIDE = 2500
SLACK_BYTES = 24 << 20
"""What a process takes beside an image's pixels."""

MEASURE = """
import io, json, sys
from pathlib import Path
from PIL import Image
from tasks.images.decode import decode, decoded, prepare
from tasks.images.memory import peak_bytes
from tasks.work.memory_budget import MemoryBudget
from tasks.images.settings import DecodeLimits, Preprocessing

def status(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))

def judged(data):
    with decoded(data, DecodeLimits()) as image:
        prepare(image.pixels, Preprocessing())

found = {}
for file in sorted(Path(sys.argv[1]).iterdir()):
    data = file.read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        told = peak_bytes(image)
    open("/proc/self/clear_refs", "w").write("5")  # the highest mark begins anew, proc(5)
    before = status("VmRSS")
    judged(data)
    found[file.name] = (told, status("VmHWM") - before)
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the highest mark of memory is Linux's")
def test_no_format_takes_more_than_is_told_beforehand(tmp_path: Path) -> None:
    for kind in LARGE_KINDS:
        (tmp_path / kind).write_bytes(large_image(kind, SIDE))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)],
        cwd=REPOSITORY,
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},  # what is freed is given back
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == set(LARGE_KINDS)
    for kind, (told, taken) in found.items():
        assert taken <= told + SLACK_BYTES, f"{kind}: {taken / SIDE**2:.1f} bytes a pixel"
        assert told <= WORST_BYTES * SIDE**2, kind
        assert taken >= told / 4, f"{kind}: {told / SIDE**2:.0f} bytes a pixel are far too careful"


def test_threads_wait_until_there_is_memory_for_them() -> None:
    memory, lock, taken, most = MemoryBudget(100), threading.Lock(), 0, 0

    def take(size: int) -> None:
        nonlocal taken, most
        with memory.taken(size):
            with lock:
                taken += size
                most = max(most, taken)
            time.sleep(0.002)
            with lock:
                taken -= size

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(take, [5, 40, 60, 99, 100, 1, 33] * 12))
    assert taken == 0
    assert 60 < most <= 100


def test_a_large_image_is_not_kept_waiting_by_small_ones() -> None:
    memory, order, begun = MemoryBudget(10), list[str](), threading.Event()

    def take(name: str, size: int) -> None:
        begun.set()
        with memory.taken(size):
            order.append(name)

    with memory.taken(5):
        large = threading.Thread(target=take, args=("large", 10))
        large.start()
        begun.wait()
        while not memory._waiting:
            time.sleep(0.001)
        small = threading.Thread(target=take, args=("small", 1))
        small.start()
        small.join(0.05)
        assert order == []  # there is room for it, but it came later
    large.join()
    small.join()
    assert order == ["large", "small"]


def test_more_than_there_is_means_alone() -> None:
    memory = MemoryBudget(10)
    with memory.taken(1_000):
        assert memory._left == 0
    assert memory._left == 10


def test_an_error_gives_the_memory_back() -> None:
    memory = MemoryBudget(1 << 30)
    with pytest.raises(ZeroDivisionError), decoded(large_image("png", 64), DecodeLimits(), memory):
        assert memory._left < 1 << 30
        raise ZeroDivisionError
    assert memory._left == 1 << 30


def test_many_threads_decode_within_a_small_budget() -> None:
    data = [large_image(kind, 200) for kind in LARGE_KINDS] + [jpeg_of_scans(3, side=200)]
    most = max(_peak(one) for one in data)
    memory = MemoryBudget(most)

    def shape(one: bytes) -> tuple[int, ...]:
        with decoded(one, DecodeLimits(), memory) as image:
            assert memory._left >= 0
            return image.pixels.shape

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(shape, data * 3)) == {(200, 200, 3)}
    assert memory._left == most


def _peak(data: bytes) -> int:
    with Image.open(io.BytesIO(data)) as image:
        return peak_bytes(image)
