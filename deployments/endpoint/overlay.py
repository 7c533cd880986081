"""A picture of what spoke for the label: the class's activation map over the image as the model saw it."""

import base64
import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deployments.endpoint.served_model import ServedModel
from tasks.images.decode import Decoded, prepare
from tasks.models.overlay import evidence, overlaid

SHOWN_PX: Final = 448
"""Smaller images are drawn at this side, so that a person sees more than the network does."""


def picture_for_people(model: ServedModel, decoded: Decoded) -> NDArray[np.uint8]:
    """What the model sees, large enough for people: uint8 (S, S, 3) RGB."""
    preprocessing = model.manifest.preprocessing
    side = max(SHOWN_PX, preprocessing.size_px)
    return prepare(decoded.pixels, preprocessing.model_copy(update={"size_px": side}))


def overlay(
    model: ServedModel, shown: NDArray[np.uint8], pixels: NDArray[np.uint8], label: str
) -> str | None:
    """A PNG as a data URI, or None where the model has no class maps.

    `shown` is what is drawn on, of `picture_for_people`; `pixels` what the model was given, uint8 (S, S, 3). The heat
    is how much more a place speaks for the label than for the mean of the other classes; places that speak against it
    stay clear.
    """
    maps = model.bundle.class_maps(pixels[None])
    if maps is None:
        return None
    drawn = Image.fromarray(overlaid(shown, evidence(maps[0], model.manifest.classes.index(label))))
    file = io.BytesIO()
    drawn.save(file, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
