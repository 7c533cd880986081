"""Bodies of a size that is allowed, which ask far more of a parser than images would."""

from collections.abc import Callable

SIZE = 32 << 20
FORM = "multipart/form-data; boundary=b"
JSON = "application/json"
_HEAD = b"--b\r\nContent-Disposition: form-data; name=f; filename=a\r\n\r\n"
_ROWS = b'{"Inputs": {"WebServiceInput0": ['

COSTLY_BODIES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a form of empty parts": (FORM, lambda: b"--b\r\n\r\n\r\n" * (SIZE // 9)),
    "a form of fields": (
        FORM,
        lambda: b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 600_000,
    ),
    "a form of files": (FORM, lambda: _HEAD * (SIZE // len(_HEAD))),
    "a form of boundaries that are none": (FORM, lambda: _HEAD + b"\r\n--bb" * (SIZE // 6)),
    "a form with a padded boundary": (FORM, lambda: _HEAD + b"x\r\n--b" + b" " * SIZE),
    "a form with one header": (FORM, lambda: b"--b\r\n" + b"a" * SIZE),
    "a form of headers": (FORM, lambda: b"--b\r\n" + b"a:b\r\n" * (SIZE // 5)),
    "json of empty lists": (JSON, lambda: _ROWS + b"[]," * (SIZE // 3) + b"1]}}"),
    "json of empty objects": (JSON, lambda: _ROWS + b"{}," * (SIZE // 3) + b"1]}}"),
    "json of numbers": (JSON, lambda: _ROWS + b"1," * (SIZE // 2) + b"1]}}"),
    "json of keys": (
        JSON,
        lambda: b'{"Inputs": {' + b",".join(b'"%d":0' % row for row in range(2_500_000)) + b"}}",
    ),
    "json of one long number": (JSON, lambda: _ROWS + b"1" * SIZE + b"]}}"),
    "json nested deeply": (JSON, lambda: b"[" * SIZE),
    "base64 in crumbs": (JSON, lambda: _ROWS + b'"' + b"AB " * (SIZE // 3) + b'"]}}'),
}
"""Media type and maker of each."""
