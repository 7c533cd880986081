"""Simulated lesions: where they lie, how tissue gives way to them, and how they look under a contrast."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tasks.demo.anatomy import Coarse, Swelling, Tissue
from tasks.demo.contrast import Weighting
from tasks.demo.fields import (
    COARSE_STEP,
    GRID_PX,
    PITCH_MM,
    Float,
    convex_hull,
    distance_mm,
    smooth_noise,
    soft_step,
)

LesionKind = Literal["solid", "ring", "diffuse", "dural"]

SUBTLE_MM, SEVERAL_MM, PLAIN_MM = (10.0, 20.0), (16.0, 30.0), (34.0, 62.0)
"""Diameters of a faint lesion, of one among several, and of a plain one."""
SUBTLE_SHARE = 0.03
"""So few that a recall of 0.95 is reached without them: else the threshold would sink among images without."""

_EXTENT_MM = GRID_PX * PITCH_MM
_ROUGHNESS: Mapping[LesionKind, float] = {"solid": 0.22, "ring": 0.2, "diffuse": 0.4, "dural": 0.1}
_EDGE: Mapping[LesionKind, float] = {"solid": 0.06, "ring": 0.06, "diffuse": 0.22, "dural": 0.04}  # in radii


@dataclass(frozen=True)
class Lesion:
    """A simulated lesion before it is painted; row and column on the working grid, strength 0..1."""

    kind: LesionKind
    row: float
    column: float
    diameter_mm: float
    strength: float
    has_oedema: bool

    def swelling(self, strength: float) -> Swelling:
        """How the tissue around it gives way."""
        return Swelling(self.row, self.column, self.diameter_mm / 2, strength)


def draw_lesions(rng: np.random.Generator, coarse: Coarse, ease: float) -> list[Lesion]:
    """Place one lesion, now and then two or three small ones, inside the brain.

    ease 0..1: the lowest `SUBTLE_SHARE` gives faint, small lesions.
    """
    inside = ndimage.distance_transform_edt(coarse.brain) * COARSE_STEP * PITCH_MM
    subtle = ease < SUBTLE_SHARE
    count = 1 if subtle else int(rng.choice([1, 2, 3], p=[0.9, 0.07, 0.03]))
    lesions = []
    for _ in range(count):
        kind: LesionKind = rng.choice(["solid", "ring", "diffuse", "dural"], p=[0.36, 0.34, 0.14, 0.16])
        low, high = SUBTLE_MM if subtle else SEVERAL_MM if count > 1 else PLAIN_MM
        diameter = low + (high - low) * rng.random()
        strength = rng.uniform(0.4, 0.7) if subtle else rng.uniform(0.85, 1.0)
        if kind == "dural":
            candidates = (inside > 0.3 * diameter) & (inside < 0.55 * diameter)
        else:
            candidates = coarse.matter & (inside > 0.4 * diameter)
        rows, columns = np.nonzero(candidates if candidates.any() else inside >= 0.8 * inside.max())
        pick = int(rng.integers(len(rows)))
        row, column = (float((axis[pick] + rng.random()) * COARSE_STEP) for axis in (rows, columns))
        oedema = kind != "dural" and diameter > 9 and bool(rng.random() < 0.7)
        lesions.append(Lesion(kind, row, column, float(diameter), float(strength), oedema))
    return lesions


def masses(rng: np.random.Generator, lesions: Sequence[Lesion], coarse: Coarse) -> tuple[Swelling, ...]:
    """How tissue gives way to lesions; without one a harmless asymmetry, so that shape alone tells little."""
    if lesions:
        return tuple(lesion.swelling(float(rng.uniform(0.0, 0.3))) for lesion in lesions)
    rows, columns = np.nonzero(coarse.matter)
    pick = int(rng.integers(len(rows)))
    place = float(rows[pick] * COARSE_STEP), float(columns[pick] * COARSE_STEP)
    return (Swelling(*place, radius_mm=float(rng.uniform(4, 12)), strength=float(rng.uniform(0.0, 0.25))),)


def paint_lesion(
    rng: np.random.Generator, picture: Float, tissue: Tissue, lesion: Lesion, weighting: Weighting
) -> tuple[Float, npt.NDArray[np.bool_]]:
    """Blend a lesion, and oedema around it, into the picture.

    Returns the new picture and the lesion's core with its rim (without oedema): bool (GRID_PX, GRID_PX).
    """
    radius = lesion.diameter_mm / 2
    reach = _reach(rng, lesion)
    bumps = smooth_noise(rng, _EXTENT_MM / (0.9 * radius))
    bumps += np.float32(0.5) * smooth_noise(rng, _EXTENT_MM / (0.4 * radius))
    level = 1 - reach + np.float32(_ROUGHNESS[lesion.kind]) * bumps * np.exp(-0.3 * reach**2)
    core = _connected(level > 0, lesion)
    level = np.where(core | (level < 0), level, np.float32(-1))
    if lesion.kind == "dural":  # grows outside the brain, under the skull
        within = ndimage.gaussian_filter(convex_hull(tissue.brain > 0.5).astype(np.float32), 1.0)
    else:
        within = tissue.brain
    if lesion.has_oedema:
        wide = rng.uniform(1.5, 2.3)
        fingers = soft_step(wide - reach + 0.35 * bumps * wide, 0.18) * (0.15 + 0.85 * tissue.white)
        halo = fingers * tissue.brain * np.float32(lesion.strength * rng.uniform(0.5, 0.95))
        picture = picture + halo * (np.float32(weighting.oedema) - picture)
    cover = soft_step(level, _EDGE[lesion.kind]) * within * np.float32(lesion.strength)
    blended = picture + cover * (_filling(rng, level, lesion, weighting) - picture)
    return blended, core & (within > 0.1)


def _reach(rng: np.random.Generator, lesion: Lesion) -> Float:
    """Distance from the centre in radii of a turned, stretched ellipse: 1 on its edge."""
    stretch, angle = rng.uniform(0.75, 1.3), rng.uniform(0, np.pi)
    ticks = np.arange(GRID_PX, dtype=np.float32)
    down, across = (ticks[:, None] - lesion.row) * PITCH_MM, (ticks[None, :] - lesion.column) * PITCH_MM
    along = (across * np.cos(angle) + down * np.sin(angle)) * np.sqrt(stretch)
    athwart = (down * np.cos(angle) - across * np.sin(angle)) / np.sqrt(stretch)
    return np.asarray(np.hypot(along, athwart) / (lesion.diameter_mm / 2), dtype=np.float32)


def _filling(rng: np.random.Generator, level: Float, lesion: Lesion, weighting: Weighting) -> Float:
    """Brightness of the lesion itself; a ring has a rim as bright as a solid one and a core like fluid."""
    grain = np.float32(0.04) * smooth_noise(rng, _EXTENT_MM / 3) + np.float32(0.09) * smooth_noise(rng, 24)
    bright = np.float32(weighting.lesion * rng.uniform(0.85, 1.05)) * (1 + grain)
    if lesion.kind == "ring":
        width = rng.uniform(0.18, 0.34)
        rim = np.exp(-(((level - width * 0.8) / width) ** 2))
        centre = weighting.fluid + rng.uniform(0.0, 0.2)
        bright = centre + (bright - centre) * rim
    return np.asarray(bright, dtype=np.float32)


def _connected(core: npt.NDArray[np.bool_], lesion: Lesion) -> npt.NDArray[np.bool_]:
    """The largest connected part, without holes: stray specks of the noise are no lesion."""
    parts, count = ndimage.label(core)
    if count == 0:
        return np.asarray(distance_mm(lesion.row, lesion.column) < lesion.diameter_mm / 2)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(ndimage.binary_fill_holes(parts == sizes.argmax()))
