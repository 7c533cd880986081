"""The bodies of `/predict`: one raw image, or files of a multipart form; held in memory, never written to disk."""

import re
from dataclasses import dataclass, field
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from deployments.endpoint.formats import Row
from deployments.endpoint.refusal import Refusal

MAX_NAME = 255
MAX_FIELDS = 16
"""Parts of a form that are no files: taken, and left alone."""

_PADDED: Final = rb"[ \t]{80}"
"""The parser looks at each of them, though nobody sends any."""

_NOT_IMAGES = ("application/json", "text/", "application/x-www-form-urlencoded", "application/xml")


@dataclass(slots=True)
class _Part:
    name: bytes = b""
    value: bytes = b""
    headers: dict[str, bytes] = field(default_factory=dict)
    content: list[bytes] = field(default_factory=list)


def parse_predict(body: bytes, content_type: str, max_files: int) -> list[Row]:
    """The images of a body of `/predict`, in order.

    Raises:
        Refusal: 400, the form is broken or holds no file; 413, too many; 415, a type that is no image.
    """
    kind, options = parse_options_header(content_type)
    if kind.startswith(tuple(name.encode() for name in _NOT_IMAGES)):
        message = "send the bytes of an image, or files as multipart/form-data; JSON goes to /score"
        raise Refusal(415, "media_type", message, field="Content-Type")
    if kind == b"multipart/form-data":
        return _files(body, options.get(b"boundary", b""), max_files)
    if not body:
        raise Refusal(400, "image_missing", "the body is empty", field="body")
    return [Row("body", lambda: body, {})]


def _files(body: bytes, boundary: bytes, max_files: int) -> list[Row]:
    if not 1 <= len(boundary) <= 70:  # RFC 2046, section 5.1.1
        message = "multipart/form-data needs a boundary of 1 to 70 characters"
        raise Refusal(400, "wrong_format", message, field="Content-Type")
    # No part holds its own boundary (RFC 2046, section 5.1.1), so that they are counted before any is looked at.
    if body.count(b"--" + boundary) > max_files + MAX_FIELDS + 1:
        raise _too_many_parts(max_files)
    if re.search(b"--" + re.escape(boundary) + _PADDED, body):
        raise Refusal(400, "wrong_format", "a boundary of the form is followed by blanks", field="body")
    rows: list[Row] = []
    for part in _parts(body, boundary, max_files):
        _, options = parse_options_header(part.headers.get("content-disposition", b""))
        if b"filename" not in options:
            continue
        index = len(rows)
        if index >= max_files:
            message = f"the form holds more than max_rows={max_files} files"
            raise Refusal(413, "too_many_rows", message, field="files", limit=max_files)
        name = options[b"filename"].decode("utf-8", "replace")[:MAX_NAME]
        content = part.content[0] if len(part.content) == 1 else b"".join(part.content)
        rows.append(Row(f"files[{index}]", lambda content=content: content, {"file": name}))  # type: ignore[misc]
    if not rows:
        raise Refusal(400, "image_missing", "the form holds no file", field="files")
    return rows


def _too_many_parts(max_files: int) -> Refusal:
    most = max_files + MAX_FIELDS
    message = f"the form has more than {most} parts: max_rows={max_files} files and {MAX_FIELDS} others"
    return Refusal(413, "too_many_rows", message, field="files", limit=max_files)


def _parts(body: bytes, boundary: bytes, max_files: int) -> list[_Part]:
    parts: list[_Part] = []
    ended = False

    def begin() -> None:
        if len(parts) >= max_files + MAX_FIELDS:
            raise _too_many_parts(max_files)
        parts.append(_Part())

    def name(data: bytes, start: int, end: int) -> None:
        parts[-1].name += data[start:end]

    def value(data: bytes, start: int, end: int) -> None:
        parts[-1].value += data[start:end]

    def header_end() -> None:
        part = parts[-1]
        part.headers[part.name.decode("latin-1").lower()] = part.value
        part.name = part.value = b""

    def content(data: bytes, start: int, end: int) -> None:
        parts[-1].content.append(data[start:end])

    def finish() -> None:
        nonlocal ended
        ended = True

    callbacks = {
        "on_part_begin": begin,
        "on_header_field": name,
        "on_header_value": value,
        "on_header_end": header_end,
        "on_part_data": content,
        "on_end": finish,
    }
    try:
        parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise Refusal(
            400, "wrong_format", f"the form is broken: {type(error).__name__}", field="body"
        ) from None
    if not ended:
        raise Refusal(400, "wrong_format", "the form ends before its last boundary", field="body")
    return parts
