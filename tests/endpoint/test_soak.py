"""Long runs: memory stays where it was, and wrk sees no failed request while everything around changes.

LIGHTBOX_SOAK_REQUESTS (default 3000) and LIGHTBOX_SOAK_SECONDS (default 10) make them longer.
"""

import http.client
import os
import re
import subprocess
import threading
import time
from itertools import cycle
from pathlib import Path

import pytest
from support.samples.broken_images import BROKEN
from support.samples.endpoint_bundles import REASON
from support.services.live_endpoint import PRIMARY, Process, picture
from support.services.required_tools import required

from tasks.models.registry import Registry
from tasks.stores.workspace import Workspace

REQUESTS = int(os.environ.get("LIGHTBOX_SOAK_REQUESTS", "3000"))
SECONDS = int(os.environ.get("LIGHTBOX_SOAK_SECONDS", "10"))
SETTLED = 1000
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0])


def test_memory_does_not_grow_over_good_and_bad_requests(workspace: Path, tmp_path: Path) -> None:
    good = [
        picture(seed, kind, (200, 180))
        for seed, kind in enumerate(("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF"))
    ]
    bad = [data for name, data in BROKEN.items() if name != "bomb"]
    mixed = [data for pair in zip(cycle(good), bad, strict=False) for data in pair] + [BROKEN["bomb"]]
    expected = dict.fromkeys(good, 200) | dict.fromkeys(bad, 400) | {BROKEN["bomb"]: 400}
    headers = {"Authorization": f"Bearer {PRIMARY}", "Content-Type": "application/octet-stream"}
    options = ("--workspace", str(workspace), "--name", "slices", "--log")
    with Process(*options, cache=tmp_path / "cache") as process:
        port = process.wait_ready().port
        done, settled, wrong = 0, 0, list[str]()
        lock = threading.Lock()
        sent = cycle(mixed)

        def ask() -> None:
            nonlocal done, settled
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            while True:
                with lock:
                    if done >= REQUESTS:
                        break
                    done += 1
                    data, explain = next(sent), "?explain=1" if done % 7 == 0 else ""
                    if done == SETTLED:
                        settled = resident_kib(process.popen.pid)
                connection.request("POST", f"/predict{explain}", data, headers)
                answer = connection.getresponse()
                content = answer.read()
                if answer.status != expected[data]:
                    wrong.append(f"{answer.status} {content[:200]!r}")
            connection.close()

        clients = [threading.Thread(target=ask) for _ in range(4)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        grown = resident_kib(process.popen.pid) / settled
        process.stop()
    assert wrong == []
    assert grown < 1.05, f"{settled} KiB after {SETTLED} requests, {grown:.3f} times that after {REQUESTS}"


def test_wrk_sees_no_failure_through_swaps_and_an_absent_workspace(workspace: Path, tmp_path: Path) -> None:
    program = required("wrk", "apt-get install -y wrk")
    body, script = tmp_path / "body.png", tmp_path / "load.lua"
    body.write_bytes(picture())
    script.write_text(
        f'local file = io.open("{body}", "rb")\nwrk.body = file:read("*a")\nwrk.method = "POST"\n'
        f'wrk.headers["Authorization"] = "Bearer {PRIMARY}"\n'
        'wrk.headers["Content-Type"] = "application/octet-stream"\n'
    )
    registry = Registry(Workspace(str(workspace)))
    options = ("--workspace", str(workspace), "--name", "slices", "--poll-seconds", "0.5")
    with Process(*options, cache=tmp_path / "cache") as process:
        client = process.wait_ready()
        url = f"http://127.0.0.1:{client.port}/predict"
        command = [program, "-t1", "-c8", f"-d{SECONDS}s", "--timeout", "20s", "-s", str(script), url]
        wrk = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        time.sleep(SECONDS / 5)
        registry.promote("slices", "v2", REASON)
        time.sleep(SECONDS / 5)
        workspace.rename(workspace.with_name("away"))
        time.sleep(SECONDS / 5)
        workspace.with_name("away").rename(workspace)
        registry.promote("slices", "v3", REASON)
        text, _ = wrk.communicate(timeout=SECONDS + 60)
        assert client.get("/health/ready").json["model_version"] == "v3"
        process.stop()
    assert "v2" in process.log
    assert "going on with what is at hand" in process.log
    assert "Non-2xx" not in text, text
    assert "Socket errors" not in text, text
    assert int(re.findall(r"(\d+) requests in", text)[0]) > 10 * SECONDS
