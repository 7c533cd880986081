"""From tissue to picture: MR contrasts, the head around the brain, and what a healthy brain shows besides."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tasks.demo.anatomy import Tissue
from tasks.demo.fields import PITCH_MM, Float, convex_hull, distance_mm, smooth_noise, soft_step

Contrast = Literal["t1", "t1_enhanced", "t2", "flair"]


@dataclass(frozen=True)
class Weighting:
    """Brightness 0..1 of each tissue under one contrast, of a lesion's core and of the oedema around it."""

    white: float
    grey: float
    fluid: float
    scalp: float
    marrow: float
    lesion: float
    oedema: float
    detail: float


WEIGHTINGS: dict[Contrast, Weighting] = {
    "t1": Weighting(0.74, 0.52, 0.12, 0.95, 0.45, 0.22, 0.42, 0.5),
    "t1_enhanced": Weighting(0.50, 0.40, 0.12, 0.90, 0.40, 1.00, 0.28, 0.4),
    "t2": Weighting(0.30, 0.43, 0.85, 0.58, 0.25, 0.95, 0.74, -0.3),
    "flair": Weighting(0.40, 0.50, 0.10, 0.60, 0.25, 0.98, 0.80, -0.2),
}


def weigh(rng: np.random.Generator, tissue: Tissue, weighting: Weighting) -> Float:
    """The brain alone under one contrast: float32 (GRID_PX, GRID_PX), 0..1."""
    white, grey, fluid = (
        np.float32(value + rng.normal(0, 0.03))
        for value in (weighting.white, weighting.grey, weighting.fluid)
    )
    grain = 1 + np.float32(0.03) * smooth_noise(rng, 60) + np.float32(0.03) * smooth_noise(rng, 14)
    picture = (tissue.white * white + tissue.grey * grey) * grain + tissue.fluid * fluid
    return np.asarray(picture + np.float32(weighting.detail) * tissue.detail, dtype=np.float32)


def add_head(rng: np.random.Generator, picture: Float, tissue: Tissue, weighting: Weighting) -> Float:
    """Put fluid, skull and scalp around the brain; the template itself is skull-stripped."""
    hull = ndimage.gaussian_filter(
        convex_hull(tissue.brain > 0.5).astype(np.float32), 7 / PITCH_MM, truncate=2
    )
    outside = ndimage.distance_transform_edt(hull < 0.45).astype(np.float32) * np.float32(PITCH_MM)
    gap = 1.5 + 1.5 * rng.random() + 0.7 * smooth_noise(rng, 5)
    bone = 4.5 + 2.5 * rng.random() + 1.0 * smooth_noise(rng, 4)
    scalp = 3.5 + 4.0 * rng.random() + 1.2 * smooth_noise(rng, 4)
    inner, outer, skin = gap, gap + bone, gap + bone + scalp.clip(1.5)
    picture = picture + (1 - tissue.brain) * soft_step(inner - outside, 0.4) * np.float32(weighting.fluid)
    marrow = np.exp(-(((outside - (inner + outer) / 2) / (0.22 * bone.clip(2))) ** 2))
    picture = picture + marrow * np.float32(weighting.marrow * rng.uniform(0.1, 0.7)) * (outside > 0)
    fat = weighting.scalp * rng.uniform(0.55, 1.05) * (1 + 0.13 * smooth_noise(rng, 9))
    return np.asarray(
        picture + soft_step(outside - outer, 0.5) * soft_step(skin - outside, 0.5) * fat, dtype=np.float32
    )


def add_normal_findings(
    rng: np.random.Generator, picture: Float, tissue: Tissue, contrast: Contrast
) -> Float:
    """Paint what a healthy brain shows too and a lesion can be mistaken for, in images of both classes.

    Vessels in the sulci and choroid plexus that enhance, flow voids, and the small white-matter spots of age.
    """
    picture = picture.copy()
    if contrast == "t1_enhanced":
        plexus = ndimage.binary_erosion(tissue.fluid > 0.6, iterations=2)
        _paint_spots(
            rng,
            picture,
            tissue.fluid > 0.25,
            count=int(rng.integers(1, 8)),
            diameters_mm=(1.0, 2.8),
            value=0.9,
        )
        _paint_spots(rng, picture, plexus, count=int(rng.integers(0, 3)), diameters_mm=(3.0, 6.0), value=0.75)
    if contrast == "t2":
        _paint_spots(
            rng,
            picture,
            tissue.fluid > 0.25,
            count=int(rng.integers(2, 9)),
            diameters_mm=(1.0, 2.4),
            value=0.05,
        )
    if contrast in ("t2", "flair") and rng.random() < 0.3:
        _paint_spots(
            rng,
            picture,
            tissue.white > 0.7,
            count=int(rng.integers(2, 10)),
            diameters_mm=(1.5, 4.0),
            value=0.75,
        )
    return picture


def _paint_spots(
    rng: np.random.Generator,
    picture: Float,
    places: npt.NDArray[np.bool_],
    *,
    count: int,
    diameters_mm: tuple[float, float],
    value: float,
) -> None:
    """Paint small round spots into the picture, in place."""
    rows, columns = np.nonzero(places)
    if not len(rows):
        return
    reach = round(diameters_mm[1] / PITCH_MM) + 4
    for pick in rng.integers(len(rows), size=count):
        row, column = int(rows[pick]), int(columns[pick])
        window = tuple(slice(max(0, middle - reach), middle + reach + 1) for middle in (row, column))
        inside = rng.uniform(*diameters_mm) / 2 - distance_mm(row, column)[window]
        cover = soft_step(inside, 0.35) * np.float32(rng.uniform(0.4, 1.0))
        picture[window] += cover * (np.float32(value) - picture[window])
