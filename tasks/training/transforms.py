"""Random operations of training, as data: names, options and defaults of the Designer's component.

They exist at training only. Inference is described by `tasks.images.decode.Preprocessing`, which has no random part,
so a random operation cannot reach it.
"""

from typing import Annotated, Final

from pydantic import Field

from tasks.record import Frozen

Probability = Annotated[float, Field(ge=0, le=1)]
Degrees = Annotated[float, Field(ge=0, le=180)]


class ColorJitter(Frozen):
    """Factors are drawn from [1 - strength, 1 + strength], then applied in this order."""

    brightness: float = Field(0.2, ge=0, le=1, description="strength of the change of brightness")
    contrast: float = Field(0.2, ge=0, le=1, description="strength of the change of contrast")
    saturation: float = Field(0.0, ge=0, le=1, description="strength of the change of saturation")


class RandomResizedCrop(Frozen):
    """A random part of the image, resized to the whole of it."""

    scale: tuple[float, float] = Field((0.08, 1.0), description="range of the area kept, as a fraction")
    ratio: tuple[float, float] = Field((3 / 4, 4 / 3), description="range of width over height")


class RandomAffine(Frozen):
    """A rotation, shift, zoom and shear about the centre."""

    degrees: Degrees = Field(180.0, description="largest rotation either way, degrees")
    translate: float = Field(0.0, ge=0, le=0.5, description="largest shift, as a fraction of the side")
    scale: tuple[float, float] = Field((1.0, 1.0), description="range of the zoom factor")
    shear_degrees: float = Field(0.0, ge=0, le=45, description="largest shear either way, degrees")


class RandomTransforms(Frozen):
    """The random operations of the Designer's Init Image Transformation; None or 0 is off.

    Names and defaults are the Designer's, whose only random default is the horizontal flip.
    Source: learn.microsoft.com/azure/machine-learning/component-reference/init-image-transformation
    """

    color_jitter: ColorJitter | None = Field(None, description="brightness, contrast and saturation")
    random_resized_crop: RandomResizedCrop | None = Field(None, description="random part, resized")
    random_crop: float | None = Field(
        None, gt=0, le=1, description="side of a random square window, as a fraction of the image's"
    )
    random_horizontal_flip: Probability = Field(0.5, description="probability of a left-right flip")
    random_vertical_flip: Probability = Field(0.0, description="probability of an up-down flip")
    random_rotation: Degrees | None = Field(None, description="largest rotation either way, degrees")
    random_affine: RandomAffine | None = Field(None, description="rotation, shift, zoom and shear")
    random_grayscale: Probability = Field(0.0, description="probability of losing colour (Designer: 0.1)")
    random_perspective: Probability = Field(0.0, description="probability of a perspective (Designer: 0.5)")
    random_erasing: Probability = Field(0.0, description="probability of erasing a box (Designer: 0.5)")

    @property
    def off(self) -> bool:
        """Whether every view is the image itself."""
        return self == NO_TRANSFORMS


NO_TRANSFORMS: Final = RandomTransforms(random_horizontal_flip=0.0)
"""Every view is the image itself."""
