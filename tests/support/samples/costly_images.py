"""Small files that ask far more of a decoder than their bytes or pixels tell: what a hostile client would send."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def _entropy(bits: str) -> bytes:
    """Bits as the data of a scan: filled up with ones, each 0xFF stuffed. ITU T.81, F.1.2.3."""
    filled = bits + "1" * (-len(bits) % 8)
    data = int(filled, 2).to_bytes(len(filled) // 8, "big")
    return data.replace(b"\xff", b"\xff\0")


def jpeg_of_scans(scans: int, side: int = 7000) -> bytes:
    """A black grey progressive JPEG, whose scans after the first each pass over all blocks and change none."""
    blocks = (-(-side // 8)) ** 2
    head = b"\xff\xd8" + _segment(0xDB, b"\0" + b"\1" * 64)
    head += _segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0")
    # One symbol in each table, of one bit: no DC difference; a run of 2^14 and more blocks without coefficients.
    head += _segment(0xC4, b"\0" + b"\1" + b"\0" * 15 + b"\0")
    head += _segment(0xC4, b"\x10" + b"\1" + b"\0" * 15 + b"\xe0")
    first = _segment(0xDA, b"\1\1\0\0\0\0") + _entropy("0" * blocks)
    runs = _entropy(("0" + "1" * 14) * (blocks // 32767 + 1))
    refinement = _segment(0xDA, b"\1\1\0\1\x3f\x10") + runs
    return head + first + refinement * (scans - 1) + b"\xff\xd9"


def jpeg_of_segments(segments: int) -> bytes:
    """A JPEG behind so many empty comments."""
    return b"\xff\xd8" + _segment(0xFE, b"") * segments + _saved("JPEG")[2:]


def _tiff(tags: list[tuple[int, int, int, int]], data: bytes) -> bytes:
    """A little-endian TIFF of one directory; `data` stands at byte 8. Tags are (number, type, count, value)."""
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory + b"\0\0\0\0"


def tiff_of_a_large_tile(side: int = 64, tile: int = 20_000) -> bytes:
    """A small grey TIFF, whose only tile is much larger than it."""
    content = zlib.compress(bytes(tile * tile), 9)
    facts = {256: side, 257: side, 258: 8, 259: 8, 262: 1, 277: 1, 322: tile, 323: tile, 324: 8}
    tags = [(number, 4, 1, value) for number, value in facts.items()]
    return _tiff([*tags, (325, 4, 1, len(content))], content)


def tiff_of_strips(strips: int, width: int = 16) -> bytes:
    """A grey TIFF of one row a strip, all of them the same bytes."""
    content = bytes(width)
    offsets = struct.pack("<I", 8) * strips
    counts = struct.pack("<I", width) * strips
    facts = {256: width, 257: strips, 258: 8, 259: 1, 262: 1, 277: 1, 278: 1}
    tags = [(number, 4, 1, value) for number, value in facts.items()]
    tags += [(273, 4, strips, 8 + width), (279, 4, strips, 8 + width + len(offsets))]
    return _tiff(tags, content + offsets + counts)


def plain_ppm_of_comments(comments: int) -> bytes:
    """A grey image in digits, with a comment before each of them."""
    return b"P2 64 64 255\n" + b"#\n" * comments + b"1 " * (64 * 64)


def ppm_of_odd_values(side: int) -> bytes:
    """A PPM whose largest value is not 255, which Pillow scales value by value."""
    return b"P6 %d %d 100\n" % (side, side) + bytes(3 * side * side)


def gif_of_extensions(extensions: int) -> bytes:
    """A GIF behind so many empty extensions."""
    whole = _saved("GIF")
    head = 13 + 3 * (2 << (whole[10] & 7)) * (whole[10] >> 7)
    return whole[:head] + b"!\x01\0\0" * extensions + whole[head:]


def png_of_chunks(chunks: int) -> bytes:
    """A PNG behind so many empty chunks."""
    empty = struct.pack(">I", 0) + b"laMp" + struct.pack(">I", zlib.crc32(b"laMp"))
    whole = _saved("PNG")
    return whole[:33] + empty * chunks + whole[33:]


def _saved(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)).save(file, kind)
    return file.getvalue()


def large_image(kind: str, side: int) -> bytes:
    """A square image in the named way of storing one; see `LARGE_KINDS`."""
    file = io.BytesIO()
    form, mode, options = LARGE_KINDS[kind]
    _picture(mode, side).save(file, form, **options)
    return file.getvalue()


_RAMP_PIXELS = 256


def _picture(mode: str, side: int) -> Image.Image:
    ramp = (np.arange(side) * _RAMP_PIXELS // side).astype(np.uint8)[None].repeat(side, axis=0)
    deep: dict[str, NDArray[Any]] = {
        "F": ramp.astype(np.float32) * 1.5 - 9,
        "I": ramp.astype(np.int32) * 99 - 9,
        "I;16": ramp.astype(np.uint16) * 16,
    }
    if mode in deep:
        return Image.fromarray(deep[mode])
    grey = Image.fromarray(ramp)
    if mode in ("RGBA", "LA"):
        return Image.merge(mode, [grey] * len(mode))
    return grey.convert(mode)


_DEFLATE = {"compression": "tiff_adobe_deflate"}
LARGE_KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "jpeg": ("JPEG", "RGB", {}),
    "progressive jpeg": ("JPEG", "RGB", {"progressive": True, "subsampling": 0}),
    "progressive jpeg of four inks": ("JPEG", "CMYK", {"progressive": True}),
    "png": ("PNG", "RGB", {"compress_level": 1}),
    "translucent png": ("PNG", "RGBA", {"compress_level": 1}),
    "png of 16 bits": ("PNG", "I;16", {"compress_level": 1}),
    "png of a palette with a clear colour": ("PNG", "P", {"compress_level": 1, "transparency": 1}),
    "gif": ("GIF", "P", {}),
    "bmp": ("BMP", "RGB", {}),
    "tiff of floats": ("TIFF", "F", _DEFLATE),
    "tiff of floats in one strip": ("TIFF", "F", {**_DEFLATE, "strip_size": 1 << 30}),
    "raw tiff of floats": ("TIFF", "F", {}),
    "tiff of integers": ("TIFF", "I", _DEFLATE),
    "translucent tiff in one strip": ("TIFF", "RGBA", {**_DEFLATE, "strip_size": 1 << 30}),
    "tiff of jpeg": ("TIFF", "RGB", {"compression": "jpeg"}),
    "webp": ("WEBP", "RGB", {"method": 0}),
    "translucent webp": ("WEBP", "RGBA", {"lossless": True, "method": 0, "quality": 0}),
    "jpeg 2000": ("JPEG2000", "RGB", {"quality_layers": [200]}),
    "translucent jpeg 2000": ("JPEG2000", "RGBA", {"quality_layers": [200]}),
    "jpeg 2000 of 16 bits": ("JPEG2000", "I;16", {}),
    "ppm": ("PPM", "RGB", {}),
    "pgm of 16 bits": ("PPM", "I;16", {}),
}
"""Each way to store an image that takes memory of its own: Pillow's format, the mode and options."""
