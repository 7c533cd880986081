"""The JSON formats of `/score`: the Designer endpoint's and AutoML's to the letter, and those of other servers.

An image is a data URI or bare base64. A row that cannot be used fails alone; only when none can is the whole
request refused.
"""

import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from deployments.endpoint.bodies import json_body
from deployments.endpoint.refusal import Refusal
from tasks.models.bundle import Prediction

INPUT: Final = "WebServiceInput0"
OUTPUT: Final = "WebServiceOutput0"
ECHOED: Final = ("category", "id")

SERVING: Final = ("instances", "inputs", "dataframe_records", "dataframe_split")
"""Under what names other servers have their rows."""

_IMAGE_NAMES: Final = ("image", "b64", "image_bytes", "bytes", "content", "data")

MAX_MARKS: Final = 4096
MAX_MARKS_A_ROW: Final = 256
"""Signs that part JSON values: the parser makes an object of each, and lets nothing else run meanwhile. A row of either
format has some ten."""

_STRUCTURE: Final = (b"[", b"{", b",", b":")
_BLANK: Final = b" \t\n\r\v\f"
_DATA_URI: Final = re.compile(r"\s*(?:data:[^,]{0,128};)?base64,", re.IGNORECASE)
_OF_PYTHON: Final = re.compile(r"b'[^']*'|b\"[^\"]*\"")
_URL_SAFE: Final = str.maketrans("-_", "+/")
_HEAD: Final = 192


@dataclass(frozen=True, slots=True)
class Row:
    """One image of a request: how its bytes are had, where it stands, and what is echoed."""

    field: str
    read: Callable[[], bytes]
    echo: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """The rows of a request, in order, and how its answer is written."""

    rows: list[Row]
    render: Callable[[Sequence[Row], Sequence[Prediction | Refusal], Sequence[str]], Any]


def parse_score(body: bytes, max_rows: int) -> ScoreRequest:
    """Read a body of `/score` in either format.

    Raises:
        Refusal: 400, it is no JSON or fits neither format; 413, too many rows or values.
    """
    marks = sum(map(body.count, _STRUCTURE))
    if marks > MAX_MARKS + MAX_MARKS_A_ROW * max_rows:
        message = f"the body has {marks} of the signs that part JSON values, too many for max_rows={max_rows}"
        raise Refusal(413, "too_many_values", message, field="body", limit=max_rows)
    content = json_body(body)
    if not isinstance(content, dict):
        raise Refusal(400, "wrong_format", "the body is no JSON object")
    if "Inputs" in content:
        return _designer(content, max_rows)
    if "input_data" in content:
        return _automl(content, max_rows)
    for name in SERVING:
        if name in content:
            return _serving(content[name], name, max_rows)
    message = (
        f'the body holds neither "Inputs" (with "{INPUT}") nor "input_data", nor one of {", ".join(SERVING)}'
    )
    raise Refusal(400, "wrong_format", message, field="Inputs")


def _designer(content: dict[str, Any], max_rows: int) -> ScoreRequest:
    inputs = _object(content["Inputs"], "Inputs")
    if content.get("GlobalParameters") is not None:
        _object(content["GlobalParameters"], "GlobalParameters")
    if INPUT not in inputs:
        raise Refusal(400, "wrong_format", f'"Inputs" holds no "{INPUT}"', field=f"Inputs.{INPUT}")
    field = f"Inputs.{INPUT}"
    rows = []
    for index, row in enumerate(_rows(inputs[INPUT], field, max_rows)):
        where = f"{field}[{index}]"
        is_object = isinstance(row, dict)
        image = row.get("image") if is_object else None
        echo = {name: row[name] for name in ECHOED if name in row} if is_object else {}
        rows.append(Row(f"{where}.image" if is_object else where, _reader(image, f"{where}.image"), echo))
    return ScoreRequest(rows, _designer_answer)


def _designer_answer(
    rows: Sequence[Row], results: Sequence[Prediction | Refusal], classes: Sequence[str]
) -> dict[str, Any]:
    written = []
    for row, result in zip(rows, results, strict=True):
        if isinstance(result, Refusal):
            scores = dict.fromkeys([f"Scored Probabilities_{name}" for name in classes])
            written.append({**row.echo, **scores, "Scored Labels": None, "Error": result.facts()})
        else:
            scored = {f"Scored Probabilities_{name}": result.probabilities[name] for name in classes}
            written.append({**row.echo, **scored, "Scored Labels": result.label})
    return {"Results": {OUTPUT: written}}


def _automl(content: dict[str, Any], max_rows: int) -> ScoreRequest:
    given = _object(content["input_data"], "input_data")
    columns = given.get("columns")
    if not isinstance(columns, list) or columns.count("image") != 1:
        message = '"columns" must be a list that names "image" once'
        raise Refusal(400, "wrong_format", message, field="input_data.columns")
    column = columns.index("image")
    rows = []
    for index, row in enumerate(_rows(given.get("data"), "input_data.data", max_rows)):
        where = f"input_data.data[{index}]"
        image = row[column] if isinstance(row, list) and len(row) == len(columns) else row
        rows.append(Row(where, _reader(image, where), {}))
    return ScoreRequest(rows, _automl_answer)


def _serving(given: Any, name: str, max_rows: int) -> ScoreRequest:
    """Rows as TensorFlow Serving, Vertex AI, KServe and MLflow send them."""
    if name == "dataframe_split":
        table = _automl({"input_data": given}, max_rows)
        return ScoreRequest(table.rows, _serving_answer)
    rows = []
    for index, row in enumerate(_rows(given, name, max_rows)):
        where = f"{name}[{index}]"
        rows.append(Row(where, _reader(_image_within(row), where), {}))
    return ScoreRequest(rows, _serving_answer)


def _image_within(row: Any) -> Any:
    """The text of an image in a row: itself, or below the names that servers use."""
    for _ in range(3):
        if isinstance(row, list) and len(row) == 1:
            row = row[0]
        elif isinstance(row, dict):
            row = next((row[name] for name in _IMAGE_NAMES if name in row), None)
    return row


def _serving_answer(
    rows: Sequence[Row], results: Sequence[Prediction | Refusal], classes: Sequence[str]
) -> dict[str, Any]:
    return {"predictions": _automl_answer(rows, results, classes)}


def _automl_answer(
    rows: Sequence[Row], results: Sequence[Prediction | Refusal], classes: Sequence[str]
) -> list[dict[str, Any]]:
    del rows
    return [
        {"probs": None, "labels": None, "error": result.facts()}
        if isinstance(result, Refusal)
        else {"probs": [result.probabilities[name] for name in classes], "labels": list(classes)}
        for result in results
    ]


def _object(value: Any, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refusal(400, "wrong_format", f'"{field}" must be a JSON object', field=field)
    return value


def _rows(value: Any, field: str, max_rows: int) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise Refusal(400, "wrong_format", f'"{field}" must be a list of at least one row', field=field)
    if len(value) > max_rows:
        message = f'"{field}" has {len(value)} rows, more than max_rows={max_rows}'
        raise Refusal(413, "too_many_rows", message, field=field, limit=max_rows)
    return value


def _reader(image: Any, field: str) -> Callable[[], bytes]:
    return lambda: image_bytes(image, field)


def image_bytes(image: Any, field: str) -> bytes:
    """The bytes that a data URI or bare base64 (line breaks allowed) stands for.

    The alphabet may be that of URLs, signs may be written as in a URL (`%2B`), or all as Python shows bytes.

    Raises:
        Refusal: 400, it is no text or no base64. Nothing else is ever opened: no URL, no path.
    """
    if not isinstance(image, str):
        message = "the row holds no image: a data URI or base64, as text"
        raise Refusal(400, "image_missing", message, field=field)
    head = _DATA_URI.match(image, 0, _HEAD)
    if head is None and image[:5].lower() == "data:":
        raise Refusal(400, "not_base64", "the data URI is not of the form data:...;base64,...", field=field)
    try:
        text = _plain_base64(image[head.end() :] if head else image).encode("ascii")
        return binascii.a2b_base64(text.translate(None, _BLANK), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise Refusal(400, "not_base64", "the image is no base64", field=field) from None


def _plain_base64(text: str) -> str:
    if text[:2] in ("b'", 'b"') and _OF_PYTHON.fullmatch(text):
        text = text[2:-1]
    if "%" in text:
        text = unquote(text)
    return text.translate(_URL_SAFE) if "-" in text or "_" in text else text
