"""Why a file cannot be decoded, told from its bytes."""

import zlib
from typing import Final

from tasks.images.reject_reasons import ImageRejected, RejectReason
from tasks.images.tiff_numbers import tiff_words

_UNSUPPORTED_MAGIC: Final = (
    (128, b"DICM", "DICOM; export the slice as PNG or TIFF first"),
    (344, b"n+1\0", "NIfTI; export slices as PNG or TIFF first"),
    (344, b"ni1\0", "NIfTI; export slices as PNG or TIFF first"),
    (4, b"ftypavif", "AVIF; export it as PNG or JPEG"),
    (4, b"ftyp", "HEIF (HEIC): pip install 'lightbox[heif]' to read it, or export it as PNG or JPEG"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"8BPS", "Photoshop"),
    (0, b"DDS ", "DirectDraw surface"),
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"\x89HDF\r\n\x1a\n", "HDF5"),
    (0, b"\x1f\x8b", "gzip archive"),
    (0, b"PK\x03\x04", "zip archive"),
)

_KNOWN_MAGIC: Final = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF8",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"RIFF",
    b"\x00\x00\x00\x0cjP  ",
    b"\xff\x4f\xff\x51",
)


def check_png_checksums(data: bytes) -> None:
    """Refuse a PNG with a wrong CRC, which Pillow decodes to wrong pixels when the damage inflates by chance.

    A chunk that the file ends in is left to the decoder. Source: PNG specification, section 5.3.
    """
    if not data.startswith(b"\x89PNG"):
        return
    view, start = memoryview(data), 8
    while start + 12 <= len(data):
        stop = start + 12 + int.from_bytes(view[start : start + 4], "big")
        kind = bytes(view[start + 4 : start + 8])
        if stop > len(data) or kind == b"IEND":
            return
        stated = int.from_bytes(view[stop - 4 : stop], "big")
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT") and zlib.crc32(view[start + 4 : stop - 4]) != stated:
            raise ImageRejected(RejectReason.unreadable, f"wrong checksum in chunk {kind.decode()}")
        start = stop


def unidentified(data: bytes) -> ImageRejected:
    """Of a file that no decoder takes for its own."""
    for offset, magic, name in _UNSUPPORTED_MAGIC:
        if data[offset : offset + len(magic)] == magic:
            return ImageRejected(RejectReason.unsupported, name)
    if words := tiff_words(data):
        return ImageRejected(RejectReason.unsupported, f"{words}; export it as 8-bit PNG or TIFF")
    if data.startswith(_KNOWN_MAGIC):
        if is_cut_off(data, ""):
            return ImageRejected(
                RejectReason.truncated, f"the file ends in its header, after {len(data)} bytes"
            )
        return ImageRejected(RejectReason.unreadable, "the header is damaged")
    return ImageRejected(RejectReason.not_an_image, f"begins with {data[:16]!r}")


def is_cut_off(data: bytes, message: str) -> bool:
    """Whether a file that failed to decode failed because its end is missing."""
    if data.startswith(b"\xff\xd8\xff"):
        return b"\xff\xd9" not in data[-1024:]
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data[-1024:]
    if data.startswith(b"GIF8"):
        return not data.rstrip(b"\0").endswith(b";")
    if data.startswith(b"RIFF"):
        return len(data) < int.from_bytes(data[4:8], "little") + 8
    if data.startswith(b"BM"):
        return len(data) < int.from_bytes(data[2:6], "little")
    return any(
        sign in message.lower() for sign in ("truncated", "not enough", "unexpected end", "broken data")
    )
