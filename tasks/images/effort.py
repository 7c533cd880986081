"""What a file asks of its decoder, counted before it is decoded: time that has nothing to do with its pixels.

A thread that decodes cannot be stopped. So a file is refused beforehand that would keep one busy for longer than an
image of its size may: scans and segments of a JPEG, pieces of a TIFF, values and comments of the formats that Pillow
decodes in Python, and, of any format, steps through the file.
"""

import io
import os
import re
from collections.abc import Iterator
from typing import Any, Final

from PIL import Image

MAX_SCANS: Final = 100
"""Scans of a JPEG. Each is a pass over all coefficients, however few bytes it has (LJT-01-003 of libjpeg-turbo);
libtiff stops at as many. Encoders write 10 (libjpeg's standard script) or some dozens (mozjpeg)."""

MAX_SEGMENTS: Final = 4096
"""Marker segments of a JPEG. The largest colour profile is 255 of them, 32 MiB of Extended XMP 512."""

MAX_PIECES: Final = 65_536
"""Strips or tiles of a TIFF: each is an object of Pillow's, and a turn of its loop."""

MAX_PYTHON_VALUES: Final = 5_000_000
"""Values (pixels times channels) that Pillow decodes one by one in Python, at about a microsecond each."""

MAX_COMMENTS: Final = 256
"""Comments of a plain PPM: each copies a megabyte."""

MAX_STEPS: Final = 1_000_000
"""Calls of read and seek: what Pillow's parsers do in a loop, at one to two microseconds each. A GIF of 100 MB takes as
many to be looked through for a second frame."""

_PYTHON_DECODERS: Final = ("ppm", "ppm_plain", "bmp_rle")
# A marker is 0xFF and any byte but 0x00 (a stuffed 0xFF), 0xFF (a fill byte), a restart or TEM; the latter two have no
# length. ITU T.81, B.1.1.
_MARKER: Final = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_STRIP_OFFSETS, _TILE_OFFSETS = 273, 324  # TIFF 6.0
_PLAIN: Final = (b"P1", b"P2", b"P3")


class TooComplex(Exception):
    """A file whose decoding would take much longer than its pixels are worth."""


class MeteredFile(io.BytesIO):
    """Bytes of a file that count the steps through them.

    `read` and `seek` raise TooComplex after MAX_STEPS, and as many more as were allowed.
    """

    _steps_left = MAX_STEPS

    def allow(self, steps: int) -> None:
        """Let so many more steps pass."""
        self._steps_left += steps

    def read(self, size: int | None = -1, /) -> bytes:
        """As a file's."""
        self._count()
        return super().read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """As a file's."""
        self._count()
        return super().seek(offset, whence)

    def _count(self) -> None:
        self._steps_left -= 1
        if self._steps_left < 0:
            raise TooComplex(f"more than {MAX_STEPS} steps through the file")


def check_file(data: bytes) -> None:
    """Look at a file before Pillow does.

    Raises:
        TooComplex: too many scans, segments, pieces or comments.
    """
    if data.startswith(b"\xff\xd8\xff"):
        _check_jpeg(data)
    elif data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        pieces = max(_tiff_pieces(data), default=0)
        if pieces > MAX_PIECES:
            raise TooComplex(f"a TIFF of {pieces} strips or tiles, more than {MAX_PIECES}")
    elif data[:2] in _PLAIN and data.count(b"#") > MAX_COMMENTS:
        raise TooComplex(f"a plain PPM with more than {MAX_COMMENTS} comments")


def check_opened(image: Image.Image, file: MeteredFile) -> None:
    """Look at what Pillow read in a file's header; a decoder in Python takes a step through the file for each pixel.

    Raises:
        TooComplex: more values than Pillow's decoders in Python may be given.
    """
    tiles = getattr(image, "tile", ())
    values = image.width * image.height * len(image.getbands())
    if any(tile[0] in _PYTHON_DECODERS for tile in tiles):
        if values > MAX_PYTHON_VALUES:
            raise TooComplex(f"{values} values of a format decoded one by one, more than {MAX_PYTHON_VALUES}")
        file.allow(values)


def _check_jpeg(data: bytes) -> None:
    """Count as libjpeg reads: what lies between segments is skipped, and the end is the end."""
    scans = segments = 0
    found = _MARKER.search(data, 2)
    while found is not None:
        kind, start = found[1][0], found.end()
        if kind in (_SOI, _EOI):
            return
        segments += 1
        scans += kind == _SOS
        if scans > MAX_SCANS:
            raise TooComplex(f"a JPEG of more than {MAX_SCANS} scans")
        if segments > MAX_SEGMENTS:
            raise TooComplex(f"a JPEG of more than {MAX_SEGMENTS} segments")
        length = int.from_bytes(data[start : start + 2], "big")
        found = _MARKER.search(data, start + max(2, length))


def _tiff_pieces(data: bytes) -> Iterator[int]:
    """How many strips or tiles the first directory names; nothing where it is damaged."""
    order: Any = "little" if data.startswith(b"I") else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)

    big = number(2, 2) == 43  # BigTIFF
    start = number(8, 8) if big else number(4, 4)
    head, entry, count = (8, 20, 8) if big else (2, 12, 4)
    for at in range(start + head, min(start + head + number(start, head) * entry, len(data)), entry):
        if number(at, 2) in (_STRIP_OFFSETS, _TILE_OFFSETS):
            yield number(at + 4, count)
