"""What counts as a usable image, and how its pixels are prepared: forms, and facts of every bundle."""

from typing import Final, Literal

from pydantic import Field

from tasks.record import Frozen

PILLOW_MAX_PIXELS: Final = 178_956_970
"""Above this Pillow itself refuses an image (twice `PIL.Image.MAX_IMAGE_PIXELS`)."""


WORST_BYTES: Final = 26
"""Bytes a pixel at the worst step of decoding the worst format, JPEG 2000 with four channels (`memory.peak_bytes`)."""


DECODER: Final = 2
"""Another number where the same file gives other pixels: what was looked at or prepared before is not taken then."""


class DecodeLimits(Frozen, title="What counts as an image"):
    """What size of image is accepted."""

    min_side_px: int = Field(
        default=16, ge=1, le=1024, description="A shorter width or height is rejected as too small."
    )
    max_pixels: int = Field(
        default=100_000_000,
        ge=1024,
        le=PILLOW_MAX_PIXELS,
        description="A header claiming more pixels is rejected as a decompression bomb, before decoding.",
    )


class Preprocessing(Frozen):
    """How decoded pixels become the fixed square a network takes; part of every bundle."""

    size_px: int = Field(default=224, ge=32, le=1024, description="Side of the square.")
    fit: Literal["letterbox", "squash", "center_crop"] = Field(
        default="letterbox",
        description="letterbox keeps everything and pads with black; squash ignores the aspect ratio; "
        "center_crop fills the square and cuts off what is over.",
    )
    crop_to_content: bool = Field(
        default=True, description="First cut away flat borders, frames and marks beside the pictured object."
    )
