"""A picture of what spoke for the label: the class's activation map over the image as the model saw it."""

import base64
import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deployments.endpoint.served_model import ServedModel
from tasks.data.images import Decoded, prepare

SHOWN_PX: Final = 448
"""Smaller images are drawn at this side, so that a person sees more than the network does."""

_COLOURS: Final = np.array(
    [(0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164)], np.float64
)
"""The inferno colour map at equal steps (bids.github.io/colormap, CC0): its brightness rises evenly."""

_OPACITY: Final = 0.55


def overlay(model: ServedModel, decoded: Decoded, pixels: NDArray[np.uint8], label: str) -> str | None:
    """A PNG as a data URI, or None where the model has no class maps.

    `pixels` is what the model was given, uint8 (S, S, 3). The heat is how much more a place speaks for the label
    than for the mean of the other classes; places that speak against it stay clear.
    """
    maps = model.bundle.class_maps(pixels[None])
    if maps is None:
        return None
    preprocessing = model.manifest.preprocessing
    side = max(SHOWN_PX, preprocessing.size_px)
    shown = prepare(decoded.pixels, preprocessing.model_copy(update={"size_px": side}))
    heat = _enlarged(evidence(maps[0], model.manifest.classes.index(label)), side)
    opacity = _OPACITY * heat[..., None]
    drawn = Image.fromarray((shown * (1 - opacity) + _coloured(heat) * opacity).round().astype(np.uint8))
    file = io.BytesIO()
    drawn.save(file, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def evidence(maps: NDArray[np.float32], chosen: int) -> NDArray[np.float64]:
    """From class maps (C, h, w) to (h, w) in 0..1: where the chosen class leads, the most at 1."""
    others = np.delete(maps, chosen, axis=0).mean(axis=0, dtype=np.float64)
    lead = np.maximum(maps[chosen] - others, 0)
    result: NDArray[np.float64] = lead / max(float(lead.max()), 1e-12)
    return result


def _enlarged(heat: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    image = Image.fromarray(heat.astype(np.float32))
    return np.clip(np.asarray(image.resize((side, side), Image.Resampling.BICUBIC), np.float64), 0, 1)


def _coloured(heat: NDArray[np.float64]) -> NDArray[np.float64]:
    steps = np.linspace(0, 1, len(_COLOURS))
    return np.stack([np.interp(heat, steps, _COLOURS[:, channel]) for channel in range(3)], axis=-1)
