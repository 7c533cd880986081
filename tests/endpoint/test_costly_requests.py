"""Requests within the limits that ask for far more than a picture does are bounded, while others are answered."""

import math
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.processor_time import allowed
from support.samples.costly_bodies import COSTLY_BODIES, FORM
from support.samples.costly_images import jpeg_of_scans, large_image
from support.services.live_endpoint import Live, Process, live, picture

from deployments.endpoint import app
from deployments.endpoint.settings import Limits, ServeSettings

Settings = Callable[..., ServeSettings]
CPU_SECONDS = 2.0
"""Of the whole process; each of these took from three seconds to hours."""


@contextmanager
def little_work() -> Iterator[None]:
    """Hold the processor time of this process, the endpoint's threads among it, while inside."""
    before = time.process_time()
    yield
    assert time.process_time() - before < allowed(CPU_SECONDS)


@pytest.mark.parametrize("name", COSTLY_BODIES)
def test_a_costly_body_is_refused_for_little(shared: Live, name: str) -> None:
    kind, make = COSTLY_BODIES[name]
    body, path = make(), "/predict" if kind == FORM else "/score"
    with little_work():
        answer = shared.client.ask("POST", path, body, {"Content-Type": kind})
    assert answer.status in (400, 413), answer.body[:200]
    assert answer.error["message"]


def test_bodies_are_parsed_beside_the_event_loop(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    for name in ("parse_predict", "parse_score"):
        original = getattr(app, name)

        def watched(*given: Any, original: Callable[..., Any] = original) -> Any:
            threads.append(threading.current_thread().name)
            return original(*given)

        monkeypatch.setattr(app, name, watched)
    with live(settings()) as found:
        assert found.client.predict(picture()).status == 200
        assert found.client.score({"Inputs": {}}).status == 400
    assert [name.split("_")[0] for name in threads] == ["parse", "parse"]


def test_a_form_may_hold_a_few_fields_beside_its_files(shared: Live) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="f"'
    fields, files = part + b"\r\n\r\nx\r\n", part + b'; filename="a.png"\r\n\r\n' + picture() + b"\r\n"
    kind = {"Content-Type": FORM}
    assert shared.client.predict(fields * 16 + files * 32 + b"--b--\r\n", headers=kind).status == 200
    assert shared.client.predict(fields * 17 + files * 32 + b"--b--\r\n", headers=kind).status == 413
    assert shared.client.predict(fields + files * 33 + b"--b--\r\n", headers=kind).status == 413


def test_json_may_hold_much_beside_its_images(shared: Live) -> None:
    image = {"image": "", "id": {str(number): [number, {}] for number in range(50)}}
    answer = shared.client.score({"Inputs": {"WebServiceInput0": [image] * 32}})
    assert (answer.status, answer.error["code"]) == (400, "empty_file")


def test_jpegs_of_many_scans_stop_nobody(settings: Settings) -> None:
    costly = jpeg_of_scans(300, side=5000)
    with live(settings(limits=Limits(answer_seconds=2))) as found, little_work():
        refused = [found.client.predict(costly) for _ in range(4)]
        assert {(answer.status, answer.error["code"]) for answer in refused} == {(400, "too_complex")}
        assert found.client.predict(picture()).status == 200


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the highest mark of memory is Linux's")
def test_the_dearest_requests_all_at_once_stay_within_the_memory_that_is_stated(
    workspace: Path, tmp_path: Path
) -> None:
    limits = Limits()
    side = math.isqrt(limits.max_pixels)
    images = [
        large_image("translucent jpeg 2000", side),
        large_image("tiff of floats in one strip", side),
        large_image("translucent webp", side),
    ]
    junk = b"\x89PNG" + bytes((limits.max_body_mib << 20) - 4)
    head, end = b'--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n', b"\r\n--b--\r\n"
    form = head + junk[: -len(head) - len(end)] + end
    start = b'{"Inputs": {"WebServiceInput0": [{"image": "'
    scored = start + b"A" * ((len(junk) - 100) // 4 * 4) + b'"}]}}'
    given = ["--workspace", str(workspace), "--name", "slices", "--threads", "4", "--answer-seconds", "120"]
    with Process(*given, cache=tmp_path / "cache") as process:
        client = process.wait_ready()

        def ask(number: int) -> int:
            if number % 2:
                return client.predict(images[number // 2 % len(images)]).status
            if number % 4:
                return client.ask("POST", "/score", scored, {"Content-Type": "application/json"}).status
            return client.predict(form, headers={"Content-Type": FORM}).status

        with ThreadPoolExecutor(24) as clients:
            answers = list(clients.map(ask, range(32)))
        assert client.predict(picture()).status == 200
        status = Path(f"/proc/{process.popen.pid}/status").read_text()
    (highest,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    assert int(highest) / 1024 < limits.memory_mib
    assert set(answers) <= {200, 400, 429}
    assert answers[1::2].count(200) >= 8
