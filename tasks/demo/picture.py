"""From a bare slice to an image file as an export might hold it: crop, bias, noise, frame, text, format."""

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

from tasks.demo.fields import Float, smooth_noise

FileMode = Literal["jpeg_rgb", "jpeg_grey", "png_rgb", "png_rgba", "png_grey", "png_palette"]
Border = Literal["none", "frame", "bars", "grey"]

MIN_SIDE_PX, MAX_SIDE_PX = 150, 600
_LABELS = ("R", "L", "A", "P", "W 800  L 407", "SE 4  IM 12", "B", "H")


@dataclass(frozen=True)
class Acquisition:
    """How one image was taken and stored. Each number is 0..1 within its range."""

    side: float
    margin: float
    brightness: float
    gamma: float
    noise: float
    bias: float
    sharpness: float
    quality: float
    border: Border
    text: bool
    mode: FileMode


@dataclass(frozen=True)
class Picture:
    """Pixels uint8 (H, W) grey, and the lesion mask bool (H, W)."""

    pixels: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]


def develop(
    rng: np.random.Generator, slice_: Float, lesions: npt.NDArray[np.bool_], acquisition: Acquisition
) -> Picture:
    """Take the slice (square working grid, brightness 0..1) as a scanner and its export would."""
    top, bottom, left, right = _window(rng, slice_, acquisition.margin)
    view = ndimage.gaussian_filter(slice_, 0.9 - 0.7 * acquisition.sharpness, truncate=3)
    view = view * np.exp(np.float32(0.03 + 0.13 * acquisition.bias) * smooth_noise(rng, 2, len(slice_)))
    box = (left, top, right, bottom)
    side = MIN_SIDE_PX * (MAX_SIDE_PX / MIN_SIDE_PX) ** acquisition.side
    zoom = side / max(right - left, bottom - top)
    size = round((right - left) * zoom), round((bottom - top) * zoom)
    image = Image.fromarray(view.astype(np.float32)).resize(size, Image.Resampling.BICUBIC, box=box)
    mask = Image.fromarray(lesions.astype(np.float32)).resize(size, Image.Resampling.BILINEAR, box=box)
    values = np.asarray(image).clip(0, None)
    values = values ** np.float32(0.8 + 0.45 * acquisition.gamma)
    # The magnitude of a noisy complex signal is Rician: Gudbjartsson & Patz 1995, MRM 34(6):910-914.
    sigma = 0.004 + 0.035 * acquisition.noise**2
    real, imaginary = (rng.standard_normal(values.shape, np.float32) * np.float32(sigma) for _ in range(2))
    values = np.hypot(values + real, imaginary) * np.float32(0.7 + 0.42 * acquisition.brightness)
    pixels = Image.fromarray((values.clip(0, 1) * 255).round().astype(np.uint8))
    if acquisition.text:
        write_text(rng, pixels)
    return _add_border(rng, Picture(np.asarray(pixels), np.asarray(mask) > 0.5), acquisition.border)


def _window(rng: np.random.Generator, slice_: Float, margin: float) -> tuple[int, int, int, int]:
    """Rows and columns around the head; margins are fractions of its height, a negative one cuts into it."""
    shown = slice_ > 0.12
    rows, columns = np.nonzero(shown.any(1))[0], np.nonzero(shown.any(0))[0]
    height = rows[-1] - rows[0] + 1
    wanted = height * (-0.02 + 0.16 * margin + rng.uniform(-0.015, 0.015, 4))
    top, bottom = rows[0] - wanted[0], rows[-1] + 1 + wanted[1]
    left, right = columns[0] - wanted[2], columns[-1] + 1 + wanted[3]
    last = len(slice_)
    return max(0, round(top)), min(last, round(bottom)), max(0, round(left)), min(last, round(right))


def write_text(rng: np.random.Generator, image: Image.Image) -> None:
    """Burn a scanner's label or two into the margin, in place."""
    draw = ImageDraw.Draw(image)
    for label in rng.choice(_LABELS, size=int(rng.integers(1, 3)), replace=False):
        size = max(9, round(image.height * rng.uniform(0.03, 0.05)))
        x = rng.choice([0.02, 0.9 if len(label) == 1 else 0.7]) * image.width
        y = rng.choice([0.02, 0.93]) * image.height
        draw.text((float(x), float(y)), str(label), fill=int(rng.integers(170, 256)), font_size=size)


def _add_border(rng: np.random.Generator, picture: Picture, border: Border) -> Picture:
    pixels, mask = picture.pixels, picture.mask
    if border == "frame":
        width = int(rng.integers(1, 4))
        pixels = pixels.copy()
        pixels[:width] = pixels[-width:] = 235
        pixels[:, :width] = pixels[:, -width:] = 235
    elif border == "bars":
        width = round(pixels.shape[1] * rng.uniform(0.08, 0.25))
        pixels = np.pad(
            pixels, ((0, 0), (width, width)), constant_values=int(rng.choice([0, 255], p=[0.75, 0.25]))
        )
        mask = np.pad(mask, ((0, 0), (width, width)))
    elif border == "grey":
        pixels = np.maximum(pixels, np.uint8(rng.integers(16, 48)))
    return Picture(pixels, mask)


def alter(rng: np.random.Generator, picture: Picture) -> Picture:
    """A near copy: the same picture shifted, rescaled, brighter or darker, now and then annotated."""
    height, width = picture.pixels.shape
    cut = rng.uniform(0, 0.025, 4) * (height, height, width, width)
    box = (cut[2], cut[0], width - cut[3], height - cut[1])
    zoom = rng.uniform(0.7, 1.25)
    zoom = min(zoom, MAX_SIDE_PX / max(height, width))
    size = max(64, round((box[2] - box[0]) * zoom)), max(64, round((box[3] - box[1]) * zoom))
    image = Image.fromarray(picture.pixels).resize(size, Image.Resampling.BICUBIC, box=box)
    mask = Image.fromarray(picture.mask.astype(np.float32)).resize(size, Image.Resampling.BILINEAR, box=box)
    gain = rng.uniform(0.9, 1.08)
    image = image.point([min(255, round(level * gain)) for level in range(256)])
    if rng.random() < 0.5:
        write_text(rng, image)
    return Picture(np.asarray(image), np.asarray(mask) > 0.5)


def encode(picture: Picture, mode: FileMode, quality: float) -> bytes:
    """The image file; quality 0..1 for JPEG."""
    image = Image.fromarray(picture.pixels)
    target = io.BytesIO()
    if mode in ("jpeg_rgb", "jpeg_grey"):
        image = image.convert("RGB") if mode == "jpeg_rgb" else image
        image.save(target, "JPEG", quality=round(62 + 34 * quality))
        return target.getvalue()
    if mode == "png_palette":
        image = image.convert("RGB").quantize(96)
    elif mode != "png_grey":
        image = image.convert("RGB" if mode == "png_rgb" else "RGBA")
    image.save(target, "PNG")
    return target.getvalue()


def encode_mask(mask: npt.NDArray[np.bool_]) -> bytes:
    """An 8-bit grey PNG: 255 where the lesion is, 0 elsewhere."""
    target = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(target, "PNG")
    return target.getvalue()
