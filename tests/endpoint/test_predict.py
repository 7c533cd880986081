"""`/predict`: a raw image, or the files of a form."""

import hashlib
from collections.abc import Sequence

import pytest
from support.services.live_endpoint import Live, picture

BOUNDARY = "----boundary"


def form(files: Sequence[tuple[str, bytes]], end: str = "--") -> tuple[bytes, dict[str, str]]:
    body = b"".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
        f"Content-Type: image/png\r\n\r\n".encode()
        + data
        + b"\r\n"
        for name, data in files
    )
    return body + f"--{BOUNDARY}{end}\r\n".encode(), {
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"
    }


def test_a_raw_image_is_judged(shared: Live) -> None:
    image = picture()
    answer = shared.client.predict(image)
    assert answer.status == 200
    (found,) = answer.json["predictions"]
    assert set(found) == {"sha256", "model_version", "label", "probabilities", "threshold"}
    assert found["sha256"] == hashlib.sha256(image).hexdigest()
    assert (found["model_version"], found["threshold"]) == ("v1", 0.4)
    assert list(found["probabilities"]) == ["no", "yes"]
    assert answer.headers["x-lightbox-model-version"] == "v1"
    assert answer.headers["azureml-model-deployment"] == "champion"


@pytest.mark.parametrize("kind", ["image/jpeg", "image/x-unheard-of", "application/octet-stream", ""])
def test_the_content_tells_the_format_not_the_header(shared: Live, kind: str) -> None:
    expected = shared.client.predict(picture(kind="JPEG")).json
    assert shared.client.predict(picture(kind="JPEG"), headers={"Content-Type": kind}).json == expected


def test_files_of_a_form_are_judged_in_order(shared: Live) -> None:
    files = [("a.png", picture(1)), ("b c é.jpg", picture(2, "JPEG")), ('"><script>.png', picture(3))]
    body, headers = form([(name.replace('"', "%22"), data) for name, data in files])
    answer = shared.client.ask("POST", "/predict", body, headers)
    assert answer.status == 200
    found = answer.json["predictions"]
    assert [row["file"] for row in found] == ["a.png", "b c é.jpg", "%22><script>.png"]
    assert [row["sha256"] for row in found] == [hashlib.sha256(data).hexdigest() for _, data in files]
    alone = [shared.client.predict(data).json["predictions"][0]["probabilities"] for _, data in files]
    assert [row["probabilities"] for row in found] == alone


def test_a_bad_file_fails_alone(shared: Live) -> None:
    body, headers = form([("good.png", picture()), ("bad.png", b"nothing"), ("empty.png", b"")])
    good, bad, empty = shared.client.ask("POST", "/predict", body, headers).json["predictions"]
    assert good["label"] in ("no", "yes")
    assert (bad["error"]["code"], bad["error"]["field"]) == ("not_an_image", "files[1]")
    assert (empty["error"]["code"], empty["file"]) == ("empty_file", "empty.png")


def test_fields_that_are_no_files_are_passed_over(shared: Live) -> None:
    body, headers = form([("a.png", picture())])
    field = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'.encode()
    answer = shared.client.ask("POST", "/predict", field + body, headers)
    assert len(answer.json["predictions"]) == 1


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "application/octet-stream", 400),
        (b"not an image", "image/png", 400),
        (b"{}", "application/json", 415),
        (b"a=b", "application/x-www-form-urlencoded", 415),
        (b"", "multipart/form-data; boundary=x", 400),
        (b"--x", "multipart/form-data", 400),
        (b"--x--\r\n", "multipart/form-data; boundary=x", 400),
        (b"rubbish", "multipart/form-data; boundary=x", 400),
        (b"--x\r\n\r\n\r\n--x--\r\n", "multipart/form-data; boundary=x", 400),
        (form([("a.png", picture())], end="")[0], f"multipart/form-data; boundary={BOUNDARY}", 400),
    ],
)
def test_a_wrong_body_is_refused_with_a_reason(shared: Live, body: bytes, kind: str, status: int) -> None:
    answer = shared.client.predict(body, headers={"Content-Type": kind})
    assert answer.status == status
    assert answer.error["field"]
    assert answer.error["message"]


def test_too_many_files_name_the_limit(shared: Live) -> None:
    limit = shared.endpoint.settings.limits.max_rows
    body, headers = form([("a", b"x")] * (limit + 1))
    answer = shared.client.ask("POST", "/predict", body, headers)
    assert (answer.status, answer.error["limit"]) == (413, limit)
