"""The client of the original project, on the bundle of a real `lightbox retrain`: only URL and key are other ones."""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.runs.main_job import FinishedRun
from support.services.live_endpoint import PRIMARY, SECONDARY, Process

from tasks.models.bundle import Prediction, load_bundle


def score(port: int, key: str | None, body: bytes) -> Any:
    """As the original's notebook asks: urllib, a Bearer header, JSON."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(f"http://127.0.0.1:{port}/score", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def refused(port: int, key: str | None, body: bytes) -> tuple[int, str]:
    """Status and reason of a refusal."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        score(port, key, body)
    with caught.value as error:
        return error.code, str(json.loads(error.read())["error"]["message"])


def request_of(*images: Path) -> bytes:
    rows = [
        {"image": f"data:image/png;base64,{base64.b64encode(image.read_bytes()).decode()}", "id": number}
        for number, image in enumerate(images, start=1)
    ]
    rows[0]["category"] = "yes"
    return json.dumps({"Inputs": {"WebServiceInput0": rows}, "GlobalParameters": {}}).encode()


@pytest.fixture
def port(finished: FinishedRun, tmp_path: Path) -> Iterator[int]:
    options = ("--workspace", str(finished.workspace), "--name", "small")
    with Process(*options, cache=tmp_path / "cache") as process:
        yield process.wait_ready().port
        assert process.stop() in (0, -15)
        assert PRIMARY not in process.log


def test_it_gets_the_documented_answer(finished: FinishedRun, port: int) -> None:
    images = sorted(Path(finished.demo.images).glob("yes/*"))[:2]
    found = score(port, PRIMARY, request_of(*images))
    (rows,) = found["Results"].values()
    assert list(found["Results"]) == ["WebServiceOutput0"]
    assert list(rows[0]) == [
        "category",
        "id",
        "Scored Probabilities_no",
        "Scored Probabilities_yes",
        "Scored Labels",
    ]
    assert [row["id"] for row in rows] == [1, 2]
    assert rows[0]["category"] == "yes"
    assert "category" not in rows[1]
    bundle = load_bundle(finished.result["bundle"], precision="accepted")
    said = bundle.predict_bytes([image.read_bytes() for image in images])
    for row, prediction in zip(rows, said, strict=True):
        assert isinstance(prediction, Prediction)
        assert row["Scored Labels"] == prediction.label
        assert row["Scored Probabilities_yes"] == pytest.approx(prediction.probabilities["yes"], abs=1e-6)


def test_it_is_refused_with_a_reason(finished: FinishedRun, port: int) -> None:
    body = request_of(next(Path(finished.demo.images).glob("yes/*")))
    assert score(port, SECONDARY, body)["Results"]
    assert refused(port, "not-the-key-0123456789", body)[0] == 401
    assert refused(port, None, body)[0] == 401
    status, reason = refused(port, PRIMARY, b'{"Inputs": {"WebServiceInput0": [{"picture": "x"}]}}')
    assert status == 400
    assert "image" in reason
