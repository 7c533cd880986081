"""Every colour mode of Pillow's brought to 8-bit RGB, by rules that keep what a radiograph shows.

A strip of rows at a time, so that no second copy of a large image is made on the way.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from tasks.images.tiff_numbers import TiffNumbers

_STRIP_PIXELS: Final = 1 << 18
_TRANSLUCENT: Final = ("RGBA", "LA", "PA", "RGBa", "La")
_OPAQUE: Final = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV")
_AS_STORED: Final[dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]]] = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}
"""The upright image seen as each EXIF orientation stores it (Exif 2.32, tag 0x0112)."""


class UnsupportedMode(Exception):
    """A colour mode that is not converted."""


def upright_rgb(image: Image.Image, numbers: TiffNumbers | None = None) -> NDArray[np.uint8]:
    """A loaded image as 8-bit RGB, upright by its EXIF orientation, on black where it is transparent.

    uint8 (height, width, 3), 0..255. `numbers` say as what the values are to be seen that Pillow decoded. An image that
    is transparent everywhere is shown as if it were not.

    Raises:
        UnsupportedMode: a colour mode whose conversion to RGB is not defined here, such as LAB, or nothing to see.
    """
    convert = _deep_grey(image, numbers) if numbers else _conversion(image)
    orientation = _orientation(image)
    width, height = image.size
    width //= numbers.columns if numbers else 1
    upright = np.empty((width, height, 3) if orientation >= 5 else (height, width, 3), np.uint8)
    stored = _AS_STORED[orientation](upright)
    for top, strip in _strips(image):
        stored[top : top + strip.height] = convert(strip)
    return upright


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Full rows of an image from above, few at a time, each with its first row's number."""
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001 - a damaged EXIF block says nothing; the pixels are whole
        return 1
    return value if isinstance(value, int) and value in _AS_STORED else 1


def _conversion(image: Image.Image) -> Callable[[Image.Image], NDArray[np.uint8]]:
    """What makes uint8 (rows, width, 3) or (rows, width, 1) of a strip of an image."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return _deep_grey(image, None)
    if image.mode in _TRANSLUCENT or "transparency" in image.info:
        return _translucent(image)
    if image.mode not in _OPAQUE:
        raise UnsupportedMode(f"colour mode {image.mode}")
    return lambda strip: np.asarray(strip.convert("RGB"))


def _translucent(image: Image.Image) -> Callable[[Image.Image], NDArray[np.uint8]]:
    """On black by the transparency, unless by it nothing could be seen.

    Exporters leave it 0 everywhere, or write a mask of 0 and 1 where 255 is opaque: the first is as if there were none,
    the second as if it were 0 and 255.

    Raises:
        UnsupportedMode: transparent everywhere, and one colour.
    """
    alphas = ((strip.convert("RGBA").getchannel("A").getextrema()) for _, strip in _strips(image))
    most = max(cast("tuple[int, int]", extrema)[1] for extrema in alphas)
    if most > 1:
        return partial(_on_black, factor=1)
    if most == 1:
        return partial(_on_black, factor=255)
    colours = [_without_alpha(strip) for _, strip in _strips(image)]
    if max(int(strip.max()) for strip in colours) == min(int(strip.min()) for strip in colours):
        raise UnsupportedMode("transparent everywhere, with one colour below; export it without transparency")
    return _without_alpha


def _on_black(strip: Image.Image, *, factor: int) -> NDArray[np.uint8]:
    translucent = strip.convert("RGBA")
    opaque = Image.new("RGB", strip.size)
    alpha = translucent.getchannel("A")
    opaque.paste(translucent, mask=alpha if factor == 1 else alpha.point(lambda value: value * factor))
    return np.asarray(opaque)


def _without_alpha(strip: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(strip.convert("RGBA"))[..., :3]


def _deep_grey(image: Image.Image, numbers: TiffNumbers | None) -> Callable[[Image.Image], NDArray[np.uint8]]:
    """Grey of more than 8 bits or of floats in 8 bits, by the range of the whole image; see `images.decode`."""
    look: Callable[[Image.Image], NDArray[Any]] = partial(_seen, numbers=numbers)
    inverted = _white_is_zero(image) if numbers is None else numbers.white_is_zero
    ranges = (look(strip) for _, strip in _strips(image))
    first = look(image.crop((0, 0, image.width, 1)))
    if np.issubdtype(first.dtype, np.floating):
        least, most = _finite_range(ranges)
        if least >= 0.0 and most <= 1.0:
            least, most = 0.0, 1.0
        return partial(_scaled, look=look, low=least, high=most, inverted=inverted)
    low, high = _integer_range(ranges)
    if low >= 0:
        return partial(_shifted, look=look, excess_bits=max(0, high.bit_length() - 8), inverted=inverted)
    return partial(_scaled, look=look, low=float(low), high=float(high), inverted=inverted)


def _seen(strip: Image.Image, numbers: TiffNumbers | None) -> NDArray[Any]:
    values = np.asarray(strip)
    return values if numbers is None else numbers.seen(values)


def _integer_range(strips: Iterator[NDArray[Any]]) -> tuple[int, int]:
    ranges = [(int(values.min()), int(values.max())) for values in strips]
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _finite_range(strips: Iterator[NDArray[Any]]) -> tuple[float, float]:
    """The least and the largest finite value; 0 and 0 where there is none."""
    finite = (values[np.isfinite(values)] for values in strips)
    ranges = [(float(values.min()), float(values.max())) for values in finite if values.size]
    return (min(low for low, _ in ranges), max(high for _, high in ranges)) if ranges else (0.0, 0.0)


def _shifted(
    strip: Image.Image, *, look: Callable[[Image.Image], NDArray[Any]], excess_bits: int, inverted: bool
) -> NDArray[np.uint8]:
    grey = (look(strip) >> excess_bits).astype(np.uint8)[..., None]
    return 255 - grey if inverted else grey


def _scaled(
    strip: Image.Image,
    *,
    look: Callable[[Image.Image], NDArray[Any]],
    low: float,
    high: float,
    inverted: bool,
) -> NDArray[np.uint8]:
    values = look(strip)
    scaled = (np.where(np.isfinite(values), values, low).astype(np.float64) - low) * (
        255.0 / ((high - low) or 1.0)
    )
    grey = np.rint(scaled).astype(np.uint8)[..., None]
    return 255 - grey if inverted else grey


def _white_is_zero(image: Image.Image) -> bool:
    """TIFF 6.0, tag 262 is 0: white is stored as 0; Pillow inverts that only up to 8 bits."""
    tags: Any = getattr(image, "tag_v2", None)
    return tags is not None and tags.get(262) == 0
