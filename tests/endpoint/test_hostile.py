"""Whatever is sent, the endpoint answers with a reason, never with a 500, and goes on."""

import base64
import io
import json
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.samples.broken_images import BROKEN
from support.services.live_endpoint import PRIMARY, Live, picture


@pytest.mark.parametrize("name", BROKEN)
def test_broken_images_are_refused_with_a_reason(shared: Live, name: str) -> None:
    raw = shared.client.predict(BROKEN[name])
    assert raw.status == 400
    assert raw.error["code"]
    row = {"image": base64.b64encode(BROKEN[name]).decode()}
    scored = shared.client.score({"Inputs": {"WebServiceInput0": [row]}})
    assert scored.status == 400
    if name != "empty":  # there it is the body that is empty
        assert scored.error["code"] == raw.error["code"]
    assert shared.client.predict(picture()).status == 200


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("PNG", "1"), ("PNG", "L"), ("PNG", "P"), ("PNG", "LA"), ("PNG", "RGBA"), ("PNG", "I;16"), ("TIFF", "F"),
     ("TIFF", "CMYK"), ("JPEG", "CMYK"), ("GIF", "P"), ("BMP", "RGB"), ("WEBP", "RGBA"), ("PPM", "L")],
)  # fmt: skip
def test_odd_but_whole_images_are_judged(shared: Live, kind: str, mode: str) -> None:
    file = io.BytesIO()
    image = Image.new(mode, (64, 64))
    if mode in ("LA", "RGBA"):
        image.putalpha(255)
    image.save(file, kind)
    assert shared.client.predict(file.getvalue()).status == 200


MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@MANY
@given(body=st.binary(max_size=400))
def test_any_bytes_to_score(shared: Live, body: bytes) -> None:
    answer = shared.client.ask("POST", "/score", body, {"Content-Type": "application/json"})
    assert answer.status == 400
    assert answer.error["code"] in ("not_json", "wrong_format")


@MANY
@given(rows=st.lists(JSON, max_size=5), rest=JSON)
def test_any_rows_to_score(shared: Live, rows: list[object], rest: object) -> None:
    answer = shared.client.score({"Inputs": {"WebServiceInput0": rows}, "GlobalParameters": rest})
    assert answer.status in (400, 413)
    assert answer.error["message"]


@MANY
@given(extra=JSON)
def test_any_json_is_echoed_as_it_was(shared: Live, extra: object) -> None:
    row = {"image": base64.b64encode(picture()).decode(), "id": extra}
    answer = shared.client.score({"Inputs": {"WebServiceInput0": [row]}})
    assert answer.status == 200
    assert answer.json["Results"]["WebServiceOutput0"][0]["id"] == json.loads(json.dumps(extra))


@MANY
@given(columns=JSON, data=JSON)
def test_any_json_to_automl(shared: Live, columns: object, data: object) -> None:
    assert shared.client.score({"input_data": {"columns": columns, "data": data}}).status in (400, 413)


@MANY
@given(
    body=st.binary(max_size=300),
    head=st.sampled_from([b"", b"--b\r\n", b"--b\r\nContent-Disposition: form-data;"]),
)
def test_any_form(shared: Live, body: bytes, head: bytes) -> None:
    answer = shared.client.predict(head + body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.status in (400, 413)


@MANY
@given(
    cut=st.integers(0, 900),
    flip=st.integers(0, 900),
    value=st.integers(0, 255),
    kind=st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"]),
)
def test_damaged_images_are_judged_or_refused(
    shared: Live, cut: int, flip: int, value: int, kind: str
) -> None:
    image = bytearray(picture(kind=kind))
    image[flip % len(image)] = value
    answer = shared.client.predict(bytes(image[: len(image) - cut % len(image)]))
    assert answer.status in (200, 400)


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100,
        b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /static/%2e%2e/app.py HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET //static/../app.py HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"BREW /coffee HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    ],
)
def test_raw_rubbish_on_the_socket(shared: Live, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", shared.client.port), timeout=10) as connection:
        try:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(4096)
        except ConnectionError:
            answer = b""
    assert not answer.startswith(b"HTTP/1.1 5")
    assert b"root:" not in answer
    assert b"import" not in answer.partition(b"\r\n\r\n")[2][:200] or b"<!doctype html>" in answer
    assert shared.client.get("/health/live").status == 200


def test_nothing_of_an_image_or_a_key_is_logged(shared: Live, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    image = base64.b64encode(picture(7)).decode()
    shared.client.score({"Inputs": {"WebServiceInput0": [{"image": image}, {"image": "/etc/passwd"}]}})
    shared.client.score({}, {"Authorization": "Bearer not-the-right-key"})
    for secret in (PRIMARY, image[:40], "not-the-right-key", "/etc/passwd"):
        assert secret not in caplog.text
