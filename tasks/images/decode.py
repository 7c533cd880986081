"""From the bytes of a file to pixels a network can take: the one decoder of training, evaluation and serving.

numpy and Pillow only, so that the serving process stays small. The format is what the content says; names
and extensions are never looked at. A file that cannot be decoded whole is refused with a reason, never
patched up.
"""

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from tasks.images.colour import UnsupportedMode, upright_rgb
from tasks.images.content_box import content_box
from tasks.images.effort import MeteredFile, TooComplex, check_file, check_opened
from tasks.images.memory import SHARED, peak_bytes, piece_pixels
from tasks.images.reject_reasons import ImageRejected, RejectReason
from tasks.images.settings import DecodeLimits, Preprocessing
from tasks.images.tiff_numbers import TiffNumbers, tiff_numbers
from tasks.images.unreadable import check_png_checksums, is_cut_off, unidentified
from tasks.work.memory_budget import MemoryBudget

Result = TypeVar("Result")

_STRIP_PIXELS: Final = 1 << 18

FORMATS: Final = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000")
"""Pillow's names of the formats that are read; Pillow's other decoders are never reached."""

HEIF: Final = "HEIF"
"""Read too where the extra heif is installed: pictures of phones, HEIC."""

_HEIF_BRANDS: Final = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc", b"hevx")


@dataclass(frozen=True)
class Decoded:
    """An image as pixels.

    `pixels` is uint8 (height, width, 3) RGB, 0..255, read-only, upright. `format` and `mode` are Pillow's
    names for what the file held. `multi_frame` tells that more frames or pages follow; the first one is
    what is here.
    """

    pixels: NDArray[np.uint8]
    format: str
    width: int
    height: int
    mode: str
    multi_frame: bool


_DEFAULT_LIMITS: Final = DecodeLimits()


def decode(data: bytes, limits: DecodeLimits = _DEFAULT_LIMITS) -> Decoded:
    """Decode as `decoded` does; the pixels stay with the caller, outside of the memory that is shared.

    Raises:
        ImageRejected: as `decoded`.
    """
    with decoded(data, limits) as image:
        return image


@contextmanager
def decoded(
    data: bytes, limits: DecodeLimits = _DEFAULT_LIMITS, memory: MemoryBudget = SHARED
) -> Iterator[Decoded]:
    """The bytes of an image file as upright 8-bit RGB.

    Inside, what decoding and one `prepare` take at most is taken from `memory`: threads wait for one another rather
    than decode more at once than there is memory for.

    - EXIF orientation is applied. Animations and multi-page files give their first frame; an APNG gives its
      default image.
    - Transparency, in any form, is composited on black. Where it is 0 everywhere, it counts as if there were none;
      a mask of 0 and 1 counts as 0 and 255.
    - Grey is repeated over the channels; palettes, CMYK and YCbCr are converted by Pillow.
    - Grey with more than 8 bits: non-negative integers are shifted right until their maximum fits 8 bits,
      so that 12 bits stored in 16 keep their contrast; floats within 0..1 are multiplied by 255; anything
      else, such as Hounsfield units, is mapped linearly from its minimum and maximum to 0..255 (non-finite
      values to 0).

    Raises:
        ImageRejected: the file cannot be decoded whole, or exceeds the limits, or would take far more work than an
            image of its size.
    """
    if not data:
        raise ImageRejected(RejectReason.empty_file, "0 bytes")
    with _pillow_warnings_off():
        _guarded(data, lambda: check_file(data))
        numbers = tiff_numbers(data)
        data = data if numbers is None else numbers.data
        file = MeteredFile(data)
        formats = (HEIF,) if _is_heif(data) and _reads_heif() else FORMATS
        image = _guarded(data, lambda: Image.open(file, formats=formats))
        _check_size(image, limits, 1 if numbers is None else numbers.columns)
        _guarded(data, lambda: check_opened(image, file))
        check_png_checksums(data)
    with memory.taken(peak_bytes(image)):
        yield _loaded(data, image, numbers)


def _is_heif(data: bytes) -> bool:
    return data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS


@cache
def _reads_heif() -> bool:
    """Whether the extra is installed; Pillow knows the format from here on, and reads it where it is named alone."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def _loaded(data: bytes, image: Image.Image, numbers: TiffNumbers | None) -> Decoded:
    """Pixels of an opened image, of which nothing else stays in memory."""
    with _pillow_warnings_off(), closing(image):
        _guarded(data, image.load)
        kind = "JPEG" if image.format == "MPO" else str(image.format)
        mode = image.mode if numbers is None else ("F" if numbers.dtype.kind == "f" else "I")
        pixels = _guarded(data, lambda: upright_rgb(image, numbers))
        multi_frame = _has_more_frames(image)
    pixels.setflags(write=False)
    height, width, _ = pixels.shape
    return Decoded(pixels, kind, width, height, mode, multi_frame)


def prepare(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Crop and resize to the fixed square.

    `pixels` is uint8 (H, W, 3) RGB; the result uint8 (size_px, size_px, 3) RGB, contiguous. Resizing is
    Pillow's bilinear, which averages over the source area when it shrinks.
    """
    if preprocessing.crop_to_content:
        left, top, right, bottom = content_box(pixels)
        pixels = pixels[top:bottom, left:right]
    image = _picture(pixels)
    side = preprocessing.size_px
    if preprocessing.fit == "squash":
        return np.array(_resized(image, side, side))
    scale = side / (max(image.size) if preprocessing.fit == "letterbox" else min(image.size))
    width, height = (max(1, round(length * scale)) for length in image.size)
    if preprocessing.fit == "letterbox":
        square = Image.new("RGB", (side, side))
        square.paste(_resized(image, width, height), ((side - width) // 2, (side - height) // 2))
        return np.array(square)
    # Only the central square is resized: a long strip would otherwise become a huge image first.
    half = min(image.size) / 2
    centre_x, centre_y = image.width / 2, image.height / 2
    box = (centre_x - half, centre_y - half, centre_x + half, centre_y + half)
    return np.array(image.resize((side, side), Image.Resampling.BILINEAR, box=box))


def _picture(pixels: NDArray[np.uint8]) -> Image.Image:
    """Pillow's image of uint8 (H, W, 3) RGB, a strip at a time: a part of an array would be copied whole first."""
    height, width, _ = pixels.shape
    image = Image.new("RGB", (width, height))
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        image.paste(Image.fromarray(np.ascontiguousarray(pixels[top : top + rows])), (0, top))
    return image


def _resized(image: Image.Image, width: int, height: int) -> Image.Image:
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _check_size(image: Image.Image, limits: DecodeLimits, columns: int) -> None:
    width, height = image.width // columns, image.height
    piece = piece_pixels(image) // columns
    if width * height <= limits.max_pixels < piece:
        raise ImageRejected(
            RejectReason.decompression_bomb,
            f"tiles of {piece} px are more than max_pixels={limits.max_pixels}",
        )
    if width * height > limits.max_pixels:
        raise ImageRejected(
            RejectReason.decompression_bomb,
            f"{width}x{height} px is more than max_pixels={limits.max_pixels}",
        )
    if min(width, height) < limits.min_side_px:
        raise ImageRejected(
            RejectReason.too_small, f"{width}x{height} px, the least side is min_side_px={limits.min_side_px}"
        )


def _guarded(data: bytes, step: Callable[[], Result]) -> Result:
    """Run one step of Pillow's; whatever hostile bytes make it raise becomes a rejection."""
    try:
        return step()
    except ImageRejected:
        raise
    except TooComplex as error:
        raise ImageRejected(RejectReason.too_complex, str(error)) from None
    except UnsupportedMode as error:
        raise ImageRejected(RejectReason.unsupported, str(error)) from None
    except Image.DecompressionBombError as error:
        raise ImageRejected(RejectReason.decompression_bomb, str(error)) from None
    except MemoryError:
        raise ImageRejected(
            RejectReason.decompression_bomb, "decoding asks for more memory than there is"
        ) from None
    except UnidentifiedImageError:
        raise unidentified(data) from None
    except Exception as error:  # noqa: BLE001 - damaged files make Pillow raise nearly anything
        reason = RejectReason.truncated if is_cut_off(data, str(error)) else RejectReason.unreadable
        raise ImageRejected(reason, f"{type(error).__name__}: {error}") from None


def _has_more_frames(image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # noqa: BLE001 - a damaged later frame; the first one is whole
        return True


_warnings_lock = threading.Lock()
_warnings_users = 0
_warnings_state: "warnings.catch_warnings[None] | None" = None


@contextmanager
def _pillow_warnings_off() -> Iterator[None]:
    """Silence what Pillow warns about (odd EXIF, size, palettes): the outcome is pixels or a rejection.

    `warnings.catch_warnings` alone is not safe with threads: overlapping exits would leave the wrong
    filters behind. So the first thread in sets the filter, for Pillow's modules only, and the last one out
    restores what stood there.
    """
    global _warnings_users, _warnings_state  # noqa: PLW0603 - the warning filters are process-wide
    with _warnings_lock:
        if _warnings_users == 0:
            _warnings_state = warnings.catch_warnings()
            _warnings_state.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
        _warnings_users += 1
    try:
        yield
    finally:
        with _warnings_lock:
            _warnings_users -= 1
            if _warnings_users == 0 and _warnings_state is not None:
                _warnings_state.__exit__(None, None, None)
                _warnings_state = None
