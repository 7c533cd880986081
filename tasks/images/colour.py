"""Every colour mode of Pillow's brought to 8-bit RGB, by rules that keep what a radiograph shows."""

from typing import Any, Final

import numpy as np
from PIL import ExifTags, Image

_ORIENTATION: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation (Exif 2.32, tag 0x0112); 1 is upright."""


class UnsupportedMode(Exception):
    """A colour mode that is not converted."""


def upright_rgb(image: Image.Image) -> Image.Image:
    """A loaded image as 8-bit RGB, upright by its EXIF orientation, on black where it is transparent.

    Raises:
        UnsupportedMode: a colour mode whose conversion to RGB is not defined here, such as LAB.
    """
    method = _ORIENTATION.get(_orientation(image))
    rgb = _rgb(image)
    return rgb if method is None else rgb.transpose(method)


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001 - a damaged EXIF block says nothing; the pixels are whole
        return 1
    return value if isinstance(value, int) else 1


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return _deep_grey(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        translucent = image.convert("RGBA")
        opaque = Image.new("RGB", image.size)
        opaque.paste(translucent, mask=translucent.getchannel("A"))
        return opaque
    if image.mode not in ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"):
        raise UnsupportedMode(f"colour mode {image.mode}")
    return image.convert("RGB")


def _deep_grey(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits or of floats, in 8 bits, as `images.decode` documents."""
    values = np.asarray(image)
    if np.issubdtype(values.dtype, np.integer) and int(values.min()) >= 0:
        excess_bits = max(0, int(values.max()).bit_length() - 8)
        grey = (values >> excess_bits).astype(np.uint8)
    else:
        finite = np.isfinite(values)
        low, high = (float(values[finite].min()), float(values[finite].max())) if finite.any() else (0.0, 0.0)
        if np.issubdtype(values.dtype, np.floating) and low >= 0.0 and high <= 1.0:
            low, high = 0.0, 1.0
        span = (high - low) or 1.0
        scaled = (np.where(finite, values, low).astype(np.float64) - low) * (255.0 / span)
        grey = np.rint(scaled).astype(np.uint8)
    if _white_is_zero(image):
        grey = 255 - grey
    return Image.fromarray(grey)


def _white_is_zero(image: Image.Image) -> bool:
    """TIFF 6.0, tag 262 is 0: white is stored as 0; Pillow inverts that only up to 8 bits."""
    tags: Any = getattr(image, "tag_v2", None)
    return tags is not None and tags.get(262) == 0
