"""Grey TIFF whose numbers Pillow takes for others or does not know: floats of 16 and 64 bits, unsigned 32, 64 bits.

Pillow is given the same bytes under a kind of number of the same width (a directory that says so is made), and what it
decodes is looked at as what it is. TIFF 6.0; sample formats of section 19.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.images.reject_reasons import ImageRejected, RejectReason

_WIDTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PREDICTOR, _TILE_WIDTH, _FORMAT = (
    *(256, 258, 259, 262, 277, 317, 322),
    339,
)
_SHORT, _LONG = 3, 4
_KINDS: Final = {
    1: "unsigned integers",
    2: "signed integers",
    3: "floats",
    5: "complex integers",
    6: "complex floats",
}
_UNKNOWN: Final = 4
"""A sample format that says nothing: the numbers count as unsigned."""

_NUMPY: Final[dict[tuple[int, int], np.dtype[Any]]] = {
    (3, 16): np.dtype(np.float16),
    (3, 64): np.dtype(np.float64),
    (1, 32): np.dtype(np.uint32),
    (1, 64): np.dtype(np.uint64),
    (2, 64): np.dtype(np.int64),
    (2, 8): np.dtype(np.int8),
}
"""By sample format and bits, what Pillow reads wrongly or not at all."""

_SWAPPED: Final[dict[tuple[int, int], np.dtype[Any]]] = {
    (2, 16): np.dtype(np.int16),
    (2, 32): np.dtype(np.int32),
    (3, 32): np.dtype(np.float32),
}
"""What Pillow reads wrongly if it is compressed and its larger byte comes first: libtiff has put it right already."""

_NO_PREDICTOR = _UNCOMPRESSED = 1
_MOST: Final = 0xFFFFFFFF
_DOUBLED: Final = 64
"""Bits of numbers that Pillow reads as two of 32 bits beside one another."""


@dataclass(frozen=True)
class TiffNumbers:
    """A file that Pillow decodes, and as what its values are to be seen; `columns` values of Pillow's make one.

    `swapped` tells that the bytes of Pillow's values are in the wrong order.
    """

    data: bytes
    dtype: np.dtype[Any]
    columns: int
    order: Literal["<", ">"]
    swapped: bool
    white_is_zero: bool

    def seen(self, values: NDArray[Any]) -> NDArray[Any]:
        """What Pillow decoded, (rows, columns x width), as (rows, width) of `dtype`."""
        native = values.byteswap() if self.swapped else values
        ordered = np.ascontiguousarray(native.astype(native.dtype.newbyteorder(self.order)))
        return ordered.view(self.dtype.newbyteorder(self.order)).astype(self.dtype)


@dataclass(frozen=True)
class _Entry:
    """One entry of a directory: where it stands, its type, and its first values where they fit into it."""

    at: int
    kind: int
    count: int
    values: tuple[int, ...]


def is_tiff(data: bytes) -> bool:
    """Whether a file is a TIFF, BigTIFF left out."""
    return data[:4] in (b"II*\0", b"MM\0*")


def tiff_numbers(data: bytes) -> TiffNumbers | None:
    """How to read a TIFF whose numbers Pillow would not read as they are; None where it does.

    Raises:
        ImageRejected: they cannot be read here.
    """
    if not is_tiff(data):
        return None
    order: Literal["<", ">"] = "<" if data.startswith(b"I") else ">"
    tags = _directory(data, order)
    bits, formats = _first(tags, _BITS, 1), _first(tags, _FORMAT, 1)
    samples = _first(tags, _SAMPLES, 1)
    kind = 1 if formats == _UNKNOWN else formats
    turned = order == ">" and _first(tags, _COMPRESSION, _UNCOMPRESSED) != _UNCOMPRESSED
    dtype = _NUMPY.get((kind, bits))
    if dtype is None and turned:
        dtype = _SWAPPED.get((kind, bits))
    if dtype is None or _BITS not in tags:
        return None
    if samples != 1 or tags[_BITS].count != 1 or _first(tags, _PHOTOMETRIC, 1) not in (0, 1):
        raise ImageRejected(RejectReason.unsupported, f"{tiff_words(data)}; export it as 8-bit PNG or TIFF")
    predictor = _first(tags, _PREDICTOR, _NO_PREDICTOR)
    if predictor != _NO_PREDICTOR and (bits == _DOUBLED or kind == 3):
        raise ImageRejected(
            RejectReason.unsupported,
            f"{tiff_words(data)}, compressed with predictor {predictor}; export it without a predictor",
        )
    columns = 2 if bits == _DOUBLED else 1
    changes = {_BITS: min(bits, 32), _FORMAT: 2 if bits >= 32 else 1, _PHOTOMETRIC: 1}
    if columns == 2:
        changes |= {tag: 2 * _first(tags, tag, 0) for tag in (_WIDTH, _TILE_WIDTH) if tag in tags}
    if max(changes.values()) > _MOST or any(
        tags[tag].kind not in (_SHORT, _LONG) for tag in changes if tag in tags
    ):
        return None
    white_is_zero = _first(tags, _PHOTOMETRIC, 1) == 0
    changed = _changed(data, order, tags, changes)
    return TiffNumbers(changed, dtype, columns, order, turned and bits >= 32, white_is_zero)


def tiff_words(data: bytes) -> str:
    """What a TIFF holds, in words; empty where its directory cannot be read."""
    if not is_tiff(data):
        return ""
    tags = _directory(data, "<" if data.startswith(b"I") else ">")
    if _WIDTH not in tags or _BITS not in tags:
        return ""
    kind = _KINDS.get(_first(tags, _FORMAT, 1), "numbers")
    channels = _first(tags, _SAMPLES, 1)
    return (
        f"a TIFF of {channels} channel{'' if channels == 1 else 's'} of {_first(tags, _BITS, 1)}-bit {kind} "
        f"(compression {_first(tags, _COMPRESSION, 1)}, photometric {_first(tags, _PHOTOMETRIC, 1)})"
    )


def _directory(data: bytes, order: str) -> dict[int, _Entry]:
    try:
        return dict(_entries(data, order))
    except struct.error:
        return {}


def _entries(data: bytes, order: str) -> Iterator[tuple[int, _Entry]]:
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(f"{order}HHI", data, at)
        code = {_SHORT: "H", _LONG: "I"}.get(kind)
        values: tuple[int, ...] = ()
        if code is not None and number > 0:
            inline = number * struct.calcsize(code) <= 4
            place = at + 8 if inline else struct.unpack_from(f"{order}I", data, at + 8)[0]
            values = struct.unpack_from(f"{order}{code}", data, place)
        yield tag, _Entry(at, kind, number, values)


def _first(tags: dict[int, _Entry], tag: int, default: int) -> int:
    entry = tags.get(tag)
    return entry.values[0] if entry is not None and entry.values else default


def _changed(data: bytes, order: str, tags: dict[int, _Entry], changes: dict[int, int]) -> bytes:
    """The file with other values in entries of its directory that have one value each."""
    changed = bytearray(data)
    for tag, value in changes.items():
        entry = tags.get(tag)
        if entry is not None:
            kind = _LONG if entry.kind == _SHORT and value > 0xFFFF else entry.kind
            struct.pack_into(f"{order}HI", changed, entry.at + 2, kind, 1)
            packed = struct.pack(f"{order}I", value) if kind == _LONG else struct.pack(f"{order}HH", value, 0)
            changed[entry.at + 8 : entry.at + 12] = packed
    return bytes(changed)
