"""Changes that leave what a picture shows as it is: what another export, scanner setting or crop may do to it."""

import io
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.uint8]


def _jpeg(pixels: Pixels) -> Pixels:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, format="JPEG", quality=30)
    with Image.open(written) as image:
        return np.asarray(image.convert("RGB"), dtype=np.uint8)


def _blur(pixels: Pixels) -> Pixels:
    radius = max(1.0, 0.005 * min(pixels.shape[:2]))
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)), dtype=np.uint8)


def _scaled(pixels: Pixels, *, gain: float = 1.0, contrast: float = 1.0) -> Pixels:
    values = pixels.astype(np.float32)
    middle = float(values.mean())
    scaled: Pixels = np.clip(np.rint((middle + contrast * (values - middle)) * gain), 0, 255).astype(np.uint8)
    return scaled


def _cropped(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    top, left = height // 20, width // 20
    return np.ascontiguousarray(pixels[top : height - top, left : width - left])


PERTURBATIONS: Final[Mapping[str, Callable[[Pixels], Pixels]]] = {
    "JPEG of quality 30": _jpeg,
    "slightly blurred": _blur,
    "20 % brighter": lambda pixels: _scaled(pixels, gain=1.2),
    "20 % darker": lambda pixels: _scaled(pixels, gain=0.8),
    "contrast 30 % higher": lambda pixels: _scaled(pixels, contrast=1.3),
    "contrast 30 % lower": lambda pixels: _scaled(pixels, contrast=0.7),
    "5 % cut off each side": _cropped,
}
"""Each maps uint8 (H, W, 3) RGB to such pixels; a crop is smaller."""
