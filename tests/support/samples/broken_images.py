"""Bytes that people or attackers send as an image and that are none, or are one that nobody should decode."""

import io
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image
from support.services.live_endpoint import picture


def _png(width: int, height: int, body: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.png", picture())
    return file.getvalue()


def _saved(kind: str, mode: str = "RGB", size: tuple[int, int] = (64, 64)) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, 1).save(file, kind)
    return file.getvalue()


BROKEN = {
    "empty": b"",
    "one byte": b"\0",
    "text": b"hello",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "html": b"<html><script>alert(1)</script></html>",
    "truncated png": picture()[:100],
    "truncated jpeg": picture(kind="JPEG")[:300],
    "png header only": picture()[:33],
    "lying header": _png(64, 64, zlib.compress(b"\0" * 100)),
    "huge dimensions": _png(2_000_000_000, 2_000_000_000, zlib.compress(b"")),
    "zero dimensions": _png(0, 0, zlib.compress(b"")),
    "bomb": _png(30_000, 30_000, zlib.compress(b"\0" * 10_000_000)),
    "bad zlib": _png(64, 64, b"\xff" * 50),
    "zip": _zip(),
    "zip in png": _png(64, 64, zlib.compress(_zip())),
    "zip behind a png header": b"\x89PNG\r\n\x1a\n" + _zip(),
    "jpeg of noise": b"\xff\xd8\xff\xe0" + np.random.default_rng(0).bytes(5000),
    "gif without frames": b"GIF89a\x40\x00\x40\x00\x00\x00\x00;",
    "tiff with a loop": b"II*\0\x08\0\0\0" + b"\x01\0" + struct.pack("<HHII", 256, 4, 1, 64) + b"\x08\0\0\0",
    "bmp of a negative size": b"BM"
    + struct.pack("<IHHIIiiHH", 100, 0, 0, 54, 40, -64, -64, 1, 24)
    + b"\0" * 24,
    "dicom": b"\0" * 128 + b"DICM" + b"\0" * 100,
    "pickle": b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    "ppm of a lie": b"P6 100000 100000 255\n" + b"\0" * 100,
    "ppm of text": b"P3 64 64 255\n" + b"1 " * 10,
    "too small": _saved("PNG", size=(4, 4)),
    "strip": _saved("PNG", size=(4000, 2)),
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n",
    "icns": b"icns" + b"\0" * 100,
    "pdf": b"%PDF-1.7\n",
}
