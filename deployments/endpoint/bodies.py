"""What clients put before and around the JSON of a request: taken away, as far as nothing is left to guess."""

import codecs
from typing import Any, Final

import pydantic_core

from deployments.endpoint.refusal import Refusal

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GUARDS: Final = (b")]}',", b")]}'", b"while(1);", b"for(;;);")
"""What web services put before JSON so that no page can run it."""

_WRAPPERS: Final = ("data", "body", "payload", "request", "input", "inputs", "event")
_FORMATS: Final = ("Inputs", "input_data", "instances", "inputs", "dataframe_split", "dataframe_records")
_DEEPEST: Final = 3


def json_body(body: bytes) -> Any:
    """The JSON of a body, of which a byte order mark, a guard, and wrappings around a known format are taken away.

    A wrapping is an object that holds the request under a name such as `data` or `body`, or JSON that was written as a
    text once more; three of them at most.

    Raises:
        Refusal: 400, it is no JSON.
    """
    content = _parsed(_plain(body))
    for _ in range(_DEEPEST):
        if isinstance(content, str) and content.lstrip()[:1] in ("{", "["):
            content = _parsed(content.encode())
            continue
        inner = _inner(content)
        if inner is None:
            break
        content = inner
    return content


def _parsed(text: bytes) -> Any:
    try:
        return pydantic_core.from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise Refusal(400, "not_json", f"the body is not JSON: {error}") from None


def _plain(body: bytes) -> bytes:
    encoding = next((encoding for mark, encoding in _MARKS if body.startswith(mark)), None)
    if encoding is not None:
        try:
            body = body.decode(encoding).encode()
        except UnicodeDecodeError as error:
            raise Refusal(400, "not_json", f"the body is not JSON: {error.reason}") from None
    body = body.lstrip()
    for guard in _GUARDS:
        if body.startswith(guard):
            return body.removeprefix(guard)
    return body


def _inner(content: Any) -> Any:
    """What an object wraps, where it is no request itself and wraps what could be one."""
    if not isinstance(content, dict) or any(name in content for name in _FORMATS if name != "inputs"):
        return None
    for name in _WRAPPERS:
        value = content.get(name)
        if isinstance(value, dict) or (isinstance(value, str) and value.lstrip()[:1] in ("{", "[")):
            return value
    return None
