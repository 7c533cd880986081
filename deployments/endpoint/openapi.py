"""The OpenAPI document: made for the model at work, so that it names its classes and the limits in force."""

from collections.abc import Sequence
from typing import Any, Final

from deployments.endpoint.formats import INPUT, OUTPUT
from deployments.endpoint.settings import Limits
from deployments.endpoint.traffic import HEADER

_JSON: Final = "application/json"
_EXAMPLE_IMAGE: Final = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgAgMAAAAOFJJnAAAACVBMVEX///94eHgAAAD+CQWMAAAAaklEQVR42oXQvQkDMRBE"
    "4U+LlCtwQSrBdRoHLkEFOVB+B3eBlBz4Z6MHbwaGTQ/zwk/YngteRyfYeBMMjmu4owsHmzHV6GTohbDDPlWrq17bgvJvT4b8"
    "USWogoZ2yVQSQeE2W/fUSN+fcAI9UBRRHqS3gAAAAABJRU5ErkJggg=="
)
_ANY: Final[dict[str, Any]] = {}
_ROUTE_HEADERS: Final = {
    "x-request-id": {"description": "The request's id, as the log has it.", "schema": {"type": "string"}},
    "x-lightbox-model-version": {"description": "Version that answered.", "schema": {"type": "string"}},
    HEADER: {
        "description": "Deployment that answered.",
        "schema": {"type": "string", "enum": ["champion", "challenger"]},
    },
}
_REFUSALS: Final = {
    "400": "Something in the request cannot be used; `field` says what. Also when no image can be judged.",
    "401": "No key, or a wrong one.",
    "403": "Without a key configured, only this machine is answered.",
    "404": "There is no report of this version.",
    "408": "The body did not arrive in time.",
    "413": "The body, or the number of images, is above its limit.",
    "415": "The media type is not one that the path reads.",
    "429": "Too much is in hand, or too many keys were refused; `Retry-After` says when to come again.",
    "500": "The endpoint failed; its log names the request's id.",
    "503": "Not ready, or no answer in time; `Retry-After` says when to come again.",
}


def document(classes: Sequence[str], limits: Limits, *, keyed: bool) -> dict[str, Any]:
    """The document, OpenAPI 3.1. `classes` are those of the champion; `keyed` tells whether a key is needed."""
    security: list[dict[str, list[str]]] = [{"bearer": []}] if keyed else [{}]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Lightbox endpoint",
            "version": "1",
            "description": "Predictions by the champion. A result supports a person's judgement; it replaces none.",
        },
        "servers": [{"url": "/"}],
        "paths": {
            "/score": {"post": _score(security)},
            "/predict": {"post": _predict(security, limits)},
            "/model": {
                "get": _get(
                    "What is served, and its measured figures", "Models", security, ("401", "403", "429")
                )
            },
            "/metrics": {"get": _metrics(security)},
            "/report.html": {"get": _report(security)},
            "/health/live": {"get": _get("Whether the process runs", "Health", [{}], ("403",))},
            "/health/ready": {"get": _ready()},
            "/openapi.json": {"get": _get("This document", "Document", [{}], ("403",))},
            "/swagger.json": {"get": _get("This document", "Document", [{}], ("403",))},
            "/docs": {"get": _page("These pages")},
            "/report": {"get": _page("A page that shows a report, and asks for the key")},
            "/": {"get": _page("A page to try the model and to copy client code from")},
        },
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The primary or the secondary key.",
                }
            },
            "schemas": _schemas(classes, limits),
        },
    }


def _score(security: list[dict[str, list[str]]]) -> dict[str, Any]:
    body = {"anyOf": [_ref("DesignerRequest"), _ref("AutomlRequest"), _ref("ServingRequest")]}
    examples = {
        "designer": {
            "summary": "Designer format; id and category are optional and come back",
            "value": {"Inputs": {INPUT: [{"image": _EXAMPLE_IMAGE, "id": 1}]}, "GlobalParameters": {}},
        },
        "automl": {
            "summary": "AutoML format",
            "value": {"input_data": {"columns": ["image"], "data": [_EXAMPLE_IMAGE.partition(",")[2]]}},
        },
    }
    return {
        "operationId": "score",
        "summary": "Judge images sent as JSON",
        "description": "The answer has the format of the request. A row that cannot be judged fails alone: its "
        "probabilities and label are null and an error says why. Only when no row can be judged is it a 400.",
        "security": security,
        "parameters": [_deployment_header()],
        "requestBody": {"required": True, "content": {_JSON: {"schema": body, "examples": examples}}},
        "responses": {
            "200": _ok(
                {"anyOf": [_ref("DesignerAnswer"), _ref("AutomlAnswer"), _ref("ServingAnswer")]},
                _ROUTE_HEADERS,
            ),
            **_refusals("400", "401", "403", "408", "413", "415", "429", "500", "503"),
        },
    }


def _predict(security: list[dict[str, list[str]]], limits: Limits) -> dict[str, Any]:
    binary = {"type": "string", "contentMediaType": "application/octet-stream"}
    files = {"type": "array", "items": binary, "minItems": 1, "maxItems": limits.max_rows}
    form = {"type": "object", "properties": {"files": files}, "required": ["files"]}
    image = {"schema": {"type": "string", "format": "binary", "minLength": 1}}
    return {
        "operationId": "predict",
        "summary": "Judge image files",
        "description": "One image as the raw body, or one or many files of a form. The format is told from the "
        "content: JPEG, PNG, GIF, BMP, TIFF, WebP, PPM, JPEG 2000.",
        "security": security,
        "parameters": [_deployment_header(), _explain()],
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": form},
                **dict.fromkeys(("application/octet-stream", "image/png", "image/jpeg"), image),
            },
        },
        "responses": {
            "200": _ok(_ref("Predictions"), _ROUTE_HEADERS),
            **_refusals("400", "401", "403", "408", "413", "415", "429", "500", "503"),
        },
    }


def _deployment_header() -> dict[str, Any]:
    return {
        "name": HEADER,
        "in": "header",
        "description": "Picks the deployment; without it the traffic rule does.",
        "schema": {"type": "string", "enum": ["champion", "challenger"]},
    }


def _explain() -> dict[str, Any]:
    return {
        "name": "explain",
        "in": "query",
        "description": "1 adds an overlay of where the model looked, where the model can tell.",
        "schema": {"type": "string", "enum": ["0", "1"], "default": "0"},
    }


def _get(
    summary: str, schema: str, security: list[dict[str, list[str]]], refusals: Sequence[str]
) -> dict[str, Any]:
    return {
        "summary": summary,
        "security": security,
        "responses": {"200": _ok(_ref(schema)), **_refusals(*refusals)},
    }


def _ready() -> dict[str, Any]:
    found = _get("Whether requests are answered", "Health", [{}], ("403",))
    found["responses"]["503"] = _ok(_ref("Health")) | {"description": "Loading, waiting or about to stop."}
    return found


def _metrics(security: list[dict[str, list[str]]]) -> dict[str, Any]:
    text = {
        "description": "Prometheus's text format.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
    return {
        "summary": "Figures for Prometheus",
        "security": security,
        "responses": {"200": text, **_refusals("401", "403", "429")},
    }


def _report(security: list[dict[str, list[str]]]) -> dict[str, Any]:
    text = {"type": "string"}
    version = {"type": "string", "pattern": "^(champion|challenger|v[1-9][0-9]*)$", "default": "champion"}
    page = {"description": "The page.", "content": {"text/html": {"schema": text}}}
    return {
        "summary": "The report of a version, as one HTML page",
        "security": security,
        "parameters": [
            {
                "name": "name",
                "in": "query",
                "description": "Model; the served one when left out.",
                "schema": text,
            },
            {"name": "version", "in": "query", "description": "Version or alias.", "schema": version},
        ],
        "responses": {"200": page, **_refusals("400", "401", "403", "404", "429", "503")},
    }


def _page(summary: str) -> dict[str, Any]:
    page = {"description": "A page.", "content": {"text/html": {"schema": {"type": "string"}}}}
    unchanged = {"description": "The page that `If-None-Match` names."}
    return {
        "summary": summary,
        "security": [{}],
        "responses": {"200": page, "304": unchanged, **_refusals("403")},
    }


def _ok(schema: dict[str, Any], headers: dict[str, Any] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"description": "Done.", "content": {_JSON: {"schema": schema}}}
    return found | ({"headers": headers} if headers else {})


def _refusals(*codes: str) -> dict[str, Any]:
    return {
        code: {"description": _REFUSALS[code], "content": {_JSON: {"schema": _ref("Refusal")}}}
        for code in codes
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: dict[str, Any], required: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), **more}


def _array(items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


def _schemas(classes: Sequence[str], limits: Limits) -> dict[str, Any]:
    text, number = {"type": "string"}, {"type": "number"}
    probability = {"type": "number", "minimum": 0, "maximum": 1}
    maybe_probability = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
    label = {"type": "string", "enum": list(classes)} if classes else text
    maybe_label = (
        {"type": ["string", "null"], "enum": [*classes, None]} if classes else {"type": ["string", "null"]}
    )
    image = {
        "type": "string",
        "description": "A data URI (data:image/jpeg;base64,...) or bare base64; line breaks are allowed.",
    }
    scores = {f"Scored Probabilities_{name}": maybe_probability for name in classes}
    rows = {"minItems": 1, "maxItems": limits.max_rows}
    figure = _object(
        {"value": number, "lower": number, "upper": number, "n": number}, ("value", "lower", "upper", "n")
    )
    nullable_text = {"type": ["string", "null"]}
    model = _object(
        {
            **dict.fromkeys(("name", "version", "backbone", "created", "protocol", "dataset_digest"), text),
            "classes": _array(text),
            "positive_class": nullable_text,
            "threshold": maybe_probability,
            "figures": {"type": "object", "additionalProperties": figure},
        },
        ("name", "version", "classes", "positive_class", "threshold", "figures"),
    )
    return {
        "DesignerRequest": _object(
            {
                "Inputs": _object(
                    {
                        INPUT: _array(
                            _object({"image": image, "id": _ANY, "category": _ANY}, ("image",)), **rows
                        )
                    },
                    (INPUT,),
                ),
                "GlobalParameters": {"type": ["object", "null"], "description": "Not used."},
            },
            ("Inputs",),
        ),
        "DesignerAnswer": _object(
            {
                "Results": _object(
                    {
                        OUTPUT: _array(
                            _object(
                                {
                                    "category": _ANY,
                                    "id": _ANY,
                                    **scores,
                                    "Scored Labels": maybe_label,
                                    "Error": _ref("Problem"),
                                },
                                (*scores, "Scored Labels"),
                            )
                        )
                    },
                    (OUTPUT,),
                )
            },
            ("Results",),
        ),
        "AutomlRequest": _object(
            {
                "input_data": _object(
                    {
                        "columns": _array({"const": "image"}, minItems=1, maxItems=1),
                        "data": _array({"anyOf": [image, _array(image, minItems=1, maxItems=1)]}, **rows),
                    },
                    ("columns", "data"),
                )
            },
            ("input_data",),
        ),
        "AutomlAnswer": _array(
            _object(
                {
                    "probs": {"type": ["array", "null"], "items": probability},
                    "labels": {"type": ["array", "null"], "items": label},
                    "error": _ref("Problem"),
                },
                ("probs", "labels"),
            )
        ),
        "ServingRequest": _object(
            {"instances": _array({"anyOf": [image, _object({"b64": image}, ("b64",))]}, **rows)},
            ("instances",),
            description="As other servers take it; also inputs, dataframe_records and dataframe_split.",
        ),
        "ServingAnswer": _object({"predictions": _ref("AutomlAnswer")}, ("predictions",)),
        "Predictions": _object({"predictions": _array(_ref("Prediction"))}, ("predictions",)),
        "Prediction": _object(
            {
                "file": {**text, "description": "The file's name in the form."},
                "sha256": {**nullable_text, "description": "Digest of the image's bytes."},
                "model_version": text,
                "label": label,
                "probabilities": {"type": "object", "additionalProperties": probability},
                "threshold": {
                    **maybe_probability,
                    "description": "The positive class is named at or above it; null: the most probable is.",
                },
                "overlay": {
                    **nullable_text,
                    "description": "PNG as a data URI, when asked for; null: none can be made.",
                },
                "error": {
                    **_ref("Problem"),
                    "description": "Instead of a label, for a file that cannot be judged.",
                },
            },
            ("sha256", "model_version"),
        ),
        "Models": _object({"champion": model, "challenger": model}),
        "Health": _object(
            {
                "status": {"enum": ["live", "ready", "loading", "waiting", "busy", "draining"]},
                "model_version": text,
                "reason": text,
            },
            ("status",),
        ),
        "Document": {"type": "object"},
        "Problem": _object(
            {"code": text, "message": text, "field": text, "limit": number}, ("code", "message")
        ),
        "Refusal": _object({"error": _ref("Problem")}, ("error",)),
    }
