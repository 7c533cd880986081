"""What clients put before and around a request's JSON is taken away; what is left is judged as ever."""

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest
from support.services.live_endpoint import Live, picture

from deployments.endpoint.bodies import json_body
from deployments.endpoint.formats import image_bytes, parse_score
from deployments.endpoint.refusal import Refusal

IMAGE = b"\xfb\xff\xfe" * 8
TEXT = base64.b64encode(IMAGE).decode()
REQUEST = {"input_data": {"columns": ["image"], "data": [TEXT]}}
PLAIN = json.dumps(REQUEST)


@pytest.mark.parametrize(
    "body",
    [
        PLAIN.encode(),
        b"\xef\xbb\xbf" + PLAIN.encode(),
        PLAIN.encode("utf-16"),
        PLAIN.encode("utf-32"),
        b"\r\n\t " + PLAIN.encode(),
        b")]}',\n" + PLAIN.encode(),
        json.dumps(PLAIN).encode(),
        json.dumps({"data": REQUEST}).encode(),
        json.dumps({"body": PLAIN}).encode(),
        json.dumps({"payload": {"request": REQUEST}}).encode(),
        json.dumps({"inputs": REQUEST}).encode(),
    ],
)
def test_what_is_put_around_a_request_is_taken_away(body: bytes) -> None:
    assert json_body(body) == REQUEST
    assert [row.read() for row in parse_score(body, 9).rows] == [IMAGE]


@pytest.mark.parametrize(
    "content",
    [
        {"instances": [{"b64": TEXT}]},
        {"instances": [TEXT]},
        {"instances": [{"image_bytes": {"b64": TEXT}}]},
        {"signature_name": "serving_default", "instances": [{"image": TEXT}]},
        {"inputs": [TEXT]},
        {"inputs": [[TEXT]]},
        {"dataframe_records": [{"image": TEXT}]},
        {"dataframe_split": {"columns": ["image"], "data": [[TEXT]]}},
        {"data": {"instances": [TEXT]}},
    ],
)
def test_rows_as_other_servers_take_them(content: Any) -> None:
    assert [row.read() for row in parse_score(json.dumps(content).encode(), 9).rows] == [IMAGE]


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"data:image/png;base64,{TEXT}",
        f"data:image/png;charset=utf-8;base64,{TEXT}",
        f" data:image/png;base64,{TEXT}\n",
        f"base64,{TEXT}",
        base64.urlsafe_b64encode(IMAGE).decode(),
        quote(TEXT, safe=""),
        repr(base64.b64encode(IMAGE)),
    ],
)
def test_base64_as_programs_write_it(text: str) -> None:
    assert image_bytes(text, "image") == IMAGE


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"data":' * 200 + b"1" + b"}" * 200,
        json.dumps({"data": {"data": {"data": {"data": REQUEST}}}}).encode(),
        b'{"data": "{\\"data\\": [}"}',
        b"\xff\xfe\x00",
        b'{"instances": {}}',
        b'{"instances": []}',
        b'{"dataframe_split": 1}',
    ],
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        parse_score(body, 9)
    assert refused.value.status in (400, 413)


def test_other_servers_rows_are_judged_as_automl_s_are(shared: Live) -> None:
    image = base64.b64encode(picture()).decode()
    automl = shared.client.score({"input_data": {"columns": ["image"], "data": [image, "?"]}}).json
    answer = shared.client.score({"instances": [{"b64": image}, "?"]})
    assert answer.status == 200
    kept = [{name: row[name] for name in ("probs", "labels")} for row in answer.json["predictions"]]
    assert kept == [{name: row[name] for name in ("probs", "labels")} for row in automl]
