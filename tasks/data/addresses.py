"""From an address of an image, as other programs write it, to the file of the store that it means."""

import base64
import binascii
import re
import unicodedata
from collections.abc import Collection, Iterator
from typing import Final
from urllib.parse import parse_qsl, unquote

_URL: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):/{1,3}(?=[^/])")
_DRIVE: Final = re.compile(r"^(\\\\\?\\)?[A-Za-z]:(?=[\\/])")
_NAMES_A_FILE: Final = (
    "d",
    "fileuri",
    "filepath",
    "file",
    "path",
    "url",
    "uri",
    "key",
    "src",
    "prefix",
    "blob",
)
"""Parameters behind a question mark by which Label Studio and consoles say which file they mean."""

_DEEPEST: Final = 3


class StorePaths:
    """The paths of a store, found by any address that means one of them."""

    def __init__(self, paths: Collection[str], root: str) -> None:
        self._paths = frozenset(paths)
        self._composed = {unicodedata.normalize("NFC", path): path for path in self._paths}
        self._root = root

    def __len__(self) -> int:
        return len(self._paths)

    def find(self, address: str) -> str | None:
        """The path that an address means, None where the store has none.

        A path below the store means itself. An address in another form than the store's own (a URL of any kind, an
        absolute path of another machine, a drive) means its longest tail that stands in the store.
        """
        for candidate in _candidates(address, self._root):
            for form in (candidate, unicodedata.normalize("NFC", candidate)):
                if form in self._paths:
                    return form
                if form in self._composed:
                    return self._composed[form]
        return None

    def nearly(self, address: str) -> str | None:
        """A path that the address would mean, but for upper and lower case."""
        folded = {path.casefold(): path for path in self._paths}
        candidates = (candidate.casefold() for candidate in _candidates(address, self._root))
        return next((folded[candidate] for candidate in candidates if candidate in folded), None)

    def is_written_otherwise(self, address: str, path: str) -> bool:
        """Whether an address is none of the ways in which the store itself names the path."""
        own = (path, f"{self._root}/{path}", f"./{path}")
        return unicodedata.normalize("NFC", address) not in {
            unicodedata.normalize("NFC", form) for form in own
        }


def is_url(text: str) -> bool:
    """Whether a text begins with a scheme."""
    return _URL.match(text) is not None and not _DRIVE.match(text)


def without_query(address: str) -> str:
    """What an error may repeat of an address: no token stands there."""
    return address.partition("?")[0]


def file_name(address: str) -> str:
    """The last part of what an address names, decoded."""
    return _slashed(list(_forms(address, _DEEPEST))[-1]).rstrip("/").rpartition("/")[2]


def plain_address(address: str) -> str:
    """An address without what may differ between two ways to write the same one."""
    last = list(_forms(address, _DEEPEST))[-1]
    return unicodedata.normalize("NFC", _slashed(last)).removeprefix("./")


def _candidates(address: str, root: str) -> Iterator[str]:
    if address.startswith(f"{root}/"):
        yield address[len(root) + 1 :]
        return
    if not is_url(address):
        yield address.removeprefix("./")
    tails: list[str] = []
    for form in _forms(address, _DEEPEST):
        slashed = _slashed(form)
        if slashed.startswith(f"{root}/"):
            yield slashed[len(root) + 1 :]
        if not _is_foreign(form) and form == address:
            yield from _relative(slashed, root)
            continue
        parts = _URL.sub("", slashed).split("/")
        tails += ["/".join(parts[start:]) for start in range(0 if form != address else 1, len(parts))]
    yield from sorted(filter(None, dict.fromkeys(tails)), key=lambda tail: tail.count("/"), reverse=True)


def _relative(path: str, root: str) -> Iterator[str]:
    """A path below the store, or one that begins with the names of the store's own folders."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    yield "/".join(parts)
    above = root.rstrip("/").split("/")
    for length in range(1, min(len(parts), len(above) + 1)):
        if parts[:length] == above[-length:]:
            yield "/".join(parts[length:])


def _is_foreign(address: str) -> bool:
    return (
        is_url(address)
        or "?" in address
        or address.startswith(("/", "\\"))
        or _DRIVE.match(address) is not None
    )


def _slashed(address: str) -> str:
    """With the separators of this system, and without a drive."""
    return _DRIVE.sub("", address).replace("\\", "/")


def _forms(address: str, depth: int) -> Iterator[str]:
    """The address as it is, and what stands in it: decoded, behind its question mark, in a part of a portal's URL."""
    yield address
    if is_url(address) or "?" in address:
        bare = without_query(address).partition(";tab=")[0]
        if unquote(bare) != address:
            yield unquote(bare)
        if depth == 0:
            return
        for name, value in parse_qsl(address.replace("#", "&").partition("?")[2]):
            if name.lower() in _NAMES_A_FILE:
                yield from _forms(_unpacked(value), depth - 1)
        for part in bare.split("/"):
            if "%2f" in part.lower():
                yield from _forms(unquote(part), depth - 1)


def _unpacked(value: str) -> str:
    """A value, or what it holds in base64, as Label Studio hands on the addresses of buckets."""
    try:
        text = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return value
    return text if is_url(text) or "/" in text else value
