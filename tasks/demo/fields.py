"""The working grid of the demo slices, and the fields on it that anatomy, contrast and lesions are made of."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.spatial import ConvexHull

Float = npt.NDArray[np.float32]

GRID_PX = 288
"""Side of the square working grid."""
PITCH_MM = 0.8
"""Distance between neighbouring points of the working grid: 230 mm across."""
COARSE_STEP = 4
"""The grid on which a lesion is placed takes every fourth point."""


def smooth_noise(rng: np.random.Generator, cells: float, size_px: int = GRID_PX) -> Float:
    """Smooth random field of about unit variance: float32 (size_px, size_px), `cells` knots a side."""
    knots = max(2, round(cells)) + 3
    coarse = Image.fromarray(rng.standard_normal((knots, knots)).astype(np.float32))
    margin = knots / (knots - 1) / 2  # the outermost half knots are flat in Pillow's resampling
    box = (margin, margin, knots - margin, knots - margin)
    return np.asarray(coarse.resize((size_px, size_px), Image.Resampling.BICUBIC, box=box)) * np.float32(1.3)


def soft_step(values: Float, edge: float) -> Float:
    """0 far below zero, 1 far above it, with an edge of this width."""
    return np.asarray(1 / (1 + np.exp(-np.clip(values / edge, -30, 30))), dtype=np.float32)


def distance_mm(row: float, column: float) -> Float:
    """Distance of each grid point from one place."""
    ticks = np.arange(GRID_PX, dtype=np.float32)
    down, across = (ticks - np.float32(row))[:, None] ** 2, (ticks - np.float32(column)) ** 2
    return np.asarray(np.sqrt(down + across) * np.float32(PITCH_MM))


def convex_hull(brain: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The convex outline of the brain, filled: a skull has no dents where the brain has fissures."""
    rows, columns = np.nonzero(brain ^ ndimage.binary_erosion(brain))
    points = np.stack([columns, rows], axis=1)
    outline = points[ConvexHull(points).vertices]
    canvas = Image.new("1", brain.shape[::-1])
    ImageDraw.Draw(canvas).polygon([(int(x), int(y)) for x, y in outline], fill=1)
    return np.asarray(canvas)
