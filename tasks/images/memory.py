"""How much memory decoding takes, and may take at once: shared by all threads that decode, whatever each was given."""

import os
from pathlib import Path
from typing import Any, Final

from PIL import Image

from tasks.work.memory_budget import MemoryBudget

_RGB_BYTES: Final = 3
_PREPARED_BYTES: Final = 8
"""Bytes a pixel while an image is prepared: its RGB, Pillow's copy with four bytes a pixel, and what is small."""

_MODE_BYTES: Final = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
_OTHER_MODE_BYTES: Final = 4
"""Bytes a pixel in Pillow's memory (Storage.c)."""

_WEBP_BYTES: Final = 17
"""Two canvases of four bytes a pixel in libwebp, the frame that Pillow takes out, and its image."""

_HEIF_BYTES: Final = 16
"""Planes of libde265 and libheif's RGB, and Pillow's image."""

_BITS_PER_SAMPLE, _TILE_WIDTH, _TILE_LENGTH = 258, 322, 323  # TIFF 6.0
_MEMORY_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")
_SHARE: Final = 4
_LEAST: Final = 2 << 30


def peak_bytes(image: Image.Image) -> int:
    """Memory that decoding and preparing an image takes at its worst step, by what its header says.

    Beside the file itself; measured with Pillow 13 (`tests/images/test_memory.py` holds it).
    """
    pixels = image.width * image.height
    stored = _MODE_BYTES.get(image.mode, _OTHER_MODE_BYTES)
    bands = len(image.getbands())
    match image.format:
        case "JPEG2000":  # an integer of 32 bits for each channel, and the decoded tile
            loading = 4 * bands + 2 * stored + 1
        case "JPEG" | "MPO":  # of several scans: all coefficients, 16 bits each
            loading = 2 * bands + stored
        case "WEBP":
            loading = _WEBP_BYTES
        case "HEIF":
            loading = _HEIF_BYTES
        case "PPM":  # values of more than 8 bits are built up in Python
            loading = 3 * stored
        case "TIFF":
            return max(
                pixels * max(stored + _RGB_BYTES, _PREPARED_BYTES), pixels * stored + _tiff_buffer(image)
            )
        case _:
            loading = stored
    return pixels * max(loading, stored + _RGB_BYTES, _PREPARED_BYTES)


def piece_pixels(image: Image.Image) -> int:
    """Pixels of the largest piece that an image is decoded in: a TIFF's tile may be larger than the image."""
    tags: Any = getattr(image, "tag_v2", {})
    width, length = tags.get(_TILE_WIDTH, 0), tags.get(_TILE_LENGTH, 0)
    tile = width * length if isinstance(width, int) and isinstance(length, int) else 0
    return max(image.width * image.height, tile)


def _tiff_buffer(image: Image.Image) -> int:
    """Bytes of the strip or tile that libtiff decodes into; a strip may be the whole image."""
    tags: Any = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (8,))
    return piece_pixels(image) * max(1, -(-sum(bits if isinstance(bits, tuple) else (bits,)) // 8))


def _machine_bytes() -> int:
    """Memory of this machine, or what its container may have of it."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(whole, int(_MEMORY_LIMIT.read_text()))
    except (OSError, ValueError):  # no cgroup, or `max`
        return whole


SHARED: Final = MemoryBudget(max(_LEAST, _machine_bytes() // _SHARE))
"""For all that decode in this process and bring no budget of their own: a quarter of the memory, at least 2 GiB."""
