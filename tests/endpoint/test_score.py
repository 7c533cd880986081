"""`/score` in the Designer endpoint's format and in AutoML's, to the letter."""

import base64
import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from support.services.live_endpoint import PRIMARY, SECONDARY, Live, picture


def uri(image: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def designer(*rows: Any) -> dict[str, Any]:
    return {"Inputs": {"WebServiceInput0": list(rows)}, "GlobalParameters": {}}


def test_the_originals_client_works_with_url_and_key_changed(shared: Live) -> None:
    data = {
        "Inputs": {"WebServiceInput0": [{"image": uri(picture()), "id": 1, "category": "yes"}]},
        "GlobalParameters": {},
    }
    body = str.encode(json.dumps(data))
    url = f"http://127.0.0.1:{shared.client.port}/score"
    headers = {"Content-Type": "application/json", "Authorization": ("Bearer " + PRIMARY)}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
        content = json.loads(answer.read())
        assert answer.status == 200
    (row,) = content["Results"]["WebServiceOutput0"]
    names = ["category", "id", "Scored Probabilities_no", "Scored Probabilities_yes", "Scored Labels"]
    assert list(content) == ["Results"]
    assert list(row) == names
    assert (row["category"], row["id"]) == ("yes", 1)
    assert row["Scored Probabilities_no"] + row["Scored Probabilities_yes"] == pytest.approx(1)
    assert row["Scored Labels"] == ("yes" if row["Scored Probabilities_yes"] >= 0.4 else "no")


def test_the_originals_client_sees_an_http_error_for_a_wrong_key(shared: Live) -> None:
    url = f"http://127.0.0.1:{shared.client.port}/score"
    request = urllib.request.Request(url, b"{}", {"Authorization": "Bearer wrong"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    with caught.value as refused:
        assert refused.code == 401
        assert json.loads(refused.read())["error"]["code"] == "unauthorized"


@pytest.mark.parametrize("key", [PRIMARY, SECONDARY])
def test_either_key_opens(shared: Live, key: str) -> None:
    request = designer({"image": uri(picture())})
    assert shared.client.score(request, {"Authorization": f"Bearer {key}"}).status == 200


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", f"Basic {PRIMARY}", PRIMARY, f"Bearer {PRIMARY}x", "Bearer \xff"]
)
def test_anything_else_does_not(shared: Live, authorization: str) -> None:
    answer = shared.client.score(designer(), {"Authorization": authorization})
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_no_key_is_401(shared: Live) -> None:
    answer = type(shared.client)(shared.client.port, key=None).score(designer({"image": uri(picture())}))
    assert answer.status == 401


def test_id_and_category_are_optional_and_come_back_as_they_were(shared: Live) -> None:
    image = uri(picture())
    echoes: list[dict[str, Any]] = [{}, {"id": "a/1"}, {"category": None}, {"id": 10**30, "category": ["é"]}]
    rows = shared.client.score(designer(*({"image": image, **echo} for echo in echoes))).json["Results"][
        "WebServiceOutput0"
    ]
    assert [{name: row[name] for name in row if name in ("id", "category")} for row in rows] == echoes


def test_bare_base64_data_uris_and_line_breaks_are_one(shared: Live) -> None:
    image = picture()
    forms = [
        uri(image),
        uri(image).replace("image/png", "image/jpeg"),
        "DATA:;base64," + base64.b64encode(image).decode(),
        base64.b64encode(image).decode(),
        base64.encodebytes(image).decode(),
    ]
    rows = shared.client.score(designer(*({"image": form} for form in forms))).json["Results"][
        "WebServiceOutput0"
    ]
    assert all(row == rows[0] for row in rows)


def test_automl_has_its_own_answer(shared: Live) -> None:
    image = base64.encodebytes(picture()).decode()
    answer = shared.client.score({"input_data": {"columns": ["image"], "data": [image, [image]]}})
    assert answer.status == 200
    first, second = answer.json
    assert first == second
    assert first["labels"] == ["no", "yes"]
    assert sum(first["probs"]) == pytest.approx(1)


def test_both_formats_and_predict_agree(shared: Live) -> None:
    image = picture(3)
    row = shared.client.score(designer({"image": uri(image)})).json["Results"]["WebServiceOutput0"][0]
    (automl,) = shared.client.score({"input_data": {"columns": ["image"], "data": [uri(image)]}}).json
    (file,) = shared.client.predict(image).json["predictions"]
    assert automl["probs"] == [row["Scored Probabilities_no"], row["Scored Probabilities_yes"]]
    assert list(file["probabilities"].values()) == automl["probs"]
    assert file["label"] == row["Scored Labels"]


BAD_ROWS: list[tuple[Any, str]] = [
    ({"image": "https://example.org/a.png"}, "not_base64"),
    ({"image": "file:///etc/passwd"}, "not_base64"),
    ({"image": "/etc/passwd"}, "not_base64"),
    ({"image": "data:image/png,abc"}, "not_base64"),
    ({"image": "data:image/png;base64,é"}, "not_base64"),
    ({"image": "AAA"}, "not_base64"),
    ({"image": ""}, "empty_file"),
    ({"image": base64.b64encode(b"no image at all").decode()}, "not_an_image"),
    ({"image": base64.b64encode(picture()[:120]).decode()}, "truncated"),
    ({"image": base64.b64encode(picture(size=(8, 8))).decode()}, "too_small"),
    ({"image": 7}, "image_missing"),
    ({"image": None}, "image_missing"),
    ({"id": 4}, "image_missing"),
    ("text", "image_missing"),
    (None, "image_missing"),
]


@pytest.mark.parametrize(("row", "code"), BAD_ROWS)
def test_a_bad_row_fails_alone(shared: Live, row: Any, code: str) -> None:
    answer = shared.client.score(designer({"image": uri(picture()), "id": 0}, row))
    assert answer.status == 200
    good, bad = answer.json["Results"]["WebServiceOutput0"]
    assert "Error" not in good
    assert bad["Error"]["code"] == code
    assert "WebServiceInput0[1]" in bad["Error"]["field"]
    assert bad["Scored Labels"] is None
    assert bad["Scored Probabilities_yes"] is None


@pytest.mark.parametrize(("row", "code"), BAD_ROWS)
def test_a_request_of_bad_rows_only_is_400_with_the_reason(shared: Live, row: Any, code: str) -> None:
    answer = shared.client.score(designer(row))
    assert answer.status == 400
    assert answer.error["code"] == code
    assert "WebServiceInput0[0]" in answer.error["field"]


def test_a_bad_automl_row_fails_alone(shared: Live) -> None:
    data = [uri(picture()), "?", 3, ["a", "b"]]
    good, *bad = shared.client.score({"input_data": {"columns": ["image"], "data": data}}).json
    assert good["probs"]
    assert [row["error"]["code"] for row in bad] == ["not_base64", "image_missing", "image_missing"]
    assert all(row["probs"] is None and row["labels"] is None for row in bad)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", None),
        (b"{", None),
        (b"\xff\xfe", None),
        (b'{"Inputs": {"WebServiceInput0": [{"image": "", "id": NaN}]}}', None),
        (b"[" * 5_000, None),
        (b"[]", None),
        (b'"text"', None),
        (b"{}", "Inputs"),
        (b'{"Inputs": []}', "Inputs"),
        (b'{"Inputs": {}}', "Inputs.WebServiceInput0"),
        (b'{"Inputs": {"WebServiceInput0": {}}}', "Inputs.WebServiceInput0"),
        (b'{"Inputs": {"WebServiceInput0": []}}', "Inputs.WebServiceInput0"),
        (b'{"Inputs": {"WebServiceInput0": [1]}, "GlobalParameters": 3}', "GlobalParameters"),
        (b'{"input_data": null}', "input_data"),
        (b'{"input_data": {"data": ["a"]}}', "input_data.columns"),
        (b'{"input_data": {"columns": ["x"], "data": ["a"]}}', "input_data.columns"),
        (b'{"input_data": {"columns": ["image"]}}', "input_data.data"),
        (b'{"input_data": {"columns": ["image"], "data": []}}', "input_data.data"),
    ],
)
def test_a_wrong_body_is_400_with_the_field(shared: Live, body: bytes, field: str | None) -> None:
    answer = shared.client.ask("POST", "/score", body, {"Content-Type": "application/json"})
    assert answer.status == 400
    assert answer.error.get("field") == field
    assert answer.error["message"]


def test_too_many_rows_name_the_limit(shared: Live) -> None:
    limit = shared.endpoint.settings.limits.max_rows
    answer = shared.client.score(designer(*[{"image": ""}] * (limit + 1)))
    assert (answer.status, answer.error["limit"]) == (413, limit)
    assert answer.error["field"] == "Inputs.WebServiceInput0"


def test_another_media_type_is_415(shared: Live) -> None:
    answer = shared.client.score(designer({"image": uri(picture())}), {"Content-Type": "text/plain"})
    assert (answer.status, answer.error["field"]) == (415, "Content-Type")


def test_a_compressed_body_is_415(shared: Live) -> None:
    answer = shared.client.score(designer({"image": ""}), {"Content-Encoding": "gzip"})
    assert (answer.status, answer.error["field"]) == (415, "Content-Encoding")
