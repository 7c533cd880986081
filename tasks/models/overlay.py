"""Pictures of what spoke for a class: its activation map over the image as the model saw it.

A map shows where a network found support, not why, nor that the place matters for the finding (Adebayo et al. 2018,
Sanity Checks for Saliency Maps, arXiv:1810.03292). numpy and Pillow only.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_COLOURS: Final = np.array(
    [(0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164)], np.float64
)
"""The inferno colour map at equal steps (bids.github.io/colormap, CC0): its brightness rises evenly."""

_OPACITY: Final = 0.55


def evidence(maps: NDArray[np.float32], chosen: int) -> NDArray[np.float64]:
    """From class maps (C, h, w) to (h, w) in 0..1: where the chosen class leads the mean of the others, the most at 1.

    Places that speak against the class are 0.
    """
    others = np.delete(maps, chosen, axis=0).mean(axis=0, dtype=np.float64)
    lead = np.maximum(maps[chosen] - others, 0)
    result: NDArray[np.float64] = lead / max(float(lead.max()), 1e-12)
    return result


def enlarged(heat: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """A heat map (h, w) in 0..1, smoothly enlarged to (side, side)."""
    image = Image.fromarray(heat.astype(np.float32))
    return np.clip(np.asarray(image.resize((side, side), Image.Resampling.BICUBIC), np.float64), 0, 1)


def overlaid(shown: NDArray[np.uint8], heat: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A square picture, uint8 (S, S, 3) RGB, under a heat map (h, w) in 0..1: uint8 (S, S, 3) RGB."""
    large = enlarged(heat, shown.shape[0])
    opacity = _OPACITY * large[..., None]
    drawn: NDArray[np.uint8] = (shown * (1 - opacity) + _coloured(large) * opacity).round().astype(np.uint8)
    return drawn


def _coloured(heat: NDArray[np.float64]) -> NDArray[np.float64]:
    steps = np.linspace(0, 1, len(_COLOURS))
    return np.stack([np.interp(heat, steps, _COLOURS[:, channel]) for channel in range(3)], axis=-1)
