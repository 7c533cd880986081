"""Brain slices cut from the MNI152 template: each with its own plane, shape and contrast.

The volume is the ICBM 2009a nonlinear symmetric template that nilearn ships: the skull-stripped T1 average of
152 adults, with grey and white matter maps. The notice below goes with everything made from it. Sources:
Fonov et al. 2011, NeuroImage 54(1):313-327; Fonov et al. 2009, NeuroImage 47(S1):S102; Collins et al. 1999,
LNCS 1613:210-223.
"""

import gzip
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tasks.demo.fields import COARSE_STEP, GRID_PX, PITCH_MM, Float, smooth_noise
from tasks.errors import DataError

Plane = Literal["axial", "coronal", "sagittal"]

TEMPLATE_NOTICE = """\
Derived from the ICBM 152 nonlinear symmetric template (2009a), as shipped by nilearn.
Copyright (C) 1993-2004 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute,
McGill University. Permission to use, copy, modify, and distribute this software and its documentation
for any purpose and without fee is hereby granted, provided that the above copyright notice appear in all
copies. The authors and McGill University make no representations about the suitability of this software
for any purpose. It is provided "as is" without express or implied warranty. The authors are not
responsible for any data loss, equipment damage, property loss, or injury to subjects or patients
resulting from the use or misuse of this software package."""

_MIDLINE_X, _CENTRE_Y, _CENTRE_Z = 98.0, 117.0, 82.0  # middle of the brain in voxels of 1 mm
_VENTRICLES = np.array([98.0, 122.0, 88.0])
_VENTRICLE_SPREAD_MM = 20.0
_T1_OF_FLUID, _T1_OF_WHITE = (
    69.0,
    222.0,
)  # means over pure fluid and pure white matter, measured on the template
_AXES = {  # columns: voxel axis along a row (left to right), along a column (top to bottom), across the slice
    "axial": np.array([[1, 0, 0], [0, -1, 0], [0, 0, 1]], dtype=np.float64),
    "coronal": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], dtype=np.float64),
    "sagittal": np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], dtype=np.float64),
}
_POSITIONS = {
    "axial": (68.0, 122.0),
    "coronal": (75.0, 160.0),
    "sagittal": (68.0, 92.0),
}  # voxels across the slice


@dataclass(frozen=True)
class Volume:
    """The template: uint8 (199, 235, 191) of 1 mm voxels: x right, y forward, z up; empty outermost."""

    t1: npt.NDArray[np.uint8]
    grey: npt.NDArray[np.uint8]
    white: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Geometry:
    """Where a slice lies: voxel = origin + basis @ (across mm, down mm) + displacement.

    origin float64 (3,), basis float64 (3, 2), displacement float32 (3, GRID_PX, GRID_PX) in voxels.
    """

    origin: npt.NDArray[np.float64]
    basis: npt.NDArray[np.float64]
    displacement: Float


@dataclass(frozen=True)
class Swelling:
    """Tissue pushed outward from a point of the grid, as a growing mass does; strength 0..0.4."""

    row: float
    column: float
    radius_mm: float
    strength: float


@dataclass(frozen=True)
class Coarse:
    """A slice at a glance: bool (GRID_PX / COARSE_STEP,) * 2; matter is grey or white, brain all of it."""

    brain: npt.NDArray[np.bool_]
    matter: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Tissue:
    """What a slice holds: float32 (GRID_PX, GRID_PX) each, 0..1; detail is the T1 that fractions miss."""

    grey: Float
    white: Float
    fluid: Float
    brain: Float
    detail: Float


def load_volume() -> Volume:
    """Read the template out of the installed nilearn package.

    nilearn itself is not imported, since that takes seconds; nibabel reads the files.

    Raises:
        DataError: the `demo` extra (nilearn and nibabel) is not installed, or its files have moved.
    """
    cure = "install the demo extra: pip install 'lightbox[demo]'"
    package = find_spec("nilearn")
    if package is None or not package.submodule_search_locations or find_spec("nibabel") is None:
        raise DataError(
            "The demo images need the template that nilearn ships, and it is not installed.", cure=cure
        )
    folder = Path(package.submodule_search_locations[0]) / "datasets" / "data"
    try:
        t1, grey, white = (
            _read_nifti(folder / f"mni_icbm152_{part}_tal_nlin_sym_09a_converted.nii.gz")
            for part in ("t1", "gm", "wm")
        )
    except (OSError, gzip.BadGzipFile) as error:
        raise DataError(f"The template that nilearn ships cannot be read: {error}.", cure=cure) from error
    return Volume(t1, grey, white)


def _read_nifti(path: Path) -> npt.NDArray[np.uint8]:
    import nibabel

    voxels = np.asarray(nibabel.Nifti1Image.from_filename(path).dataobj, dtype=np.uint8)
    return np.ascontiguousarray(np.pad(voxels, 1))  # read in Fortran order


def draw_geometry(rng: np.random.Generator, plane: Plane, position: float, breadth: float) -> Geometry:
    """Lay a slice through the template, and bend it as one person's anatomy differs from the average.

    position 0..1 along the plane's useful range; breadth 0..1 sets the ratio of the head's two sides.
    """
    low, high = _POSITIONS[plane]
    axes = _AXES[plane]
    origin = np.array([_MIDLINE_X, _CENTRE_Y, _CENTRE_Z])
    origin[axes[:, 2] != 0] = low + position * (high - low)
    turn, nod, roll = np.radians(rng.normal(0, (5.0, 5.0, 4.0)).clip(-14, 14))
    rotation = _rotation(2, turn) @ _rotation(0, nod) @ _rotation(1, roll)
    scale = rng.uniform(0.92, 1.1)
    ratio = 0.9 + 0.2 * breadth
    sides = np.array([scale * np.sqrt(ratio), scale / np.sqrt(ratio)])
    basis = axes @ rotation[:, :2] / sides
    spread = np.array([2.0, 2.0, 5.0])  # mm in the plane, and across it: neighbouring anatomy fills the slice
    bends = np.stack([smooth_noise(rng, 3) + 0.4 * smooth_noise(rng, 11) for _ in range(3)])
    displacement = np.tensordot(axes * spread, bends, axes=1).astype(np.float32)
    return Geometry(origin + rng.normal(0, 1.5, 3), basis, displacement)


def _rotation(axis: int, angle: float) -> npt.NDArray[np.float64]:
    first, second = (i for i in range(3) if i != axis)
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    return matrix


def _voxels(geometry: Geometry, step: int, swellings: Sequence[Swelling], ventricle_gain: float) -> Float:
    ticks = np.arange(0, GRID_PX, step, dtype=np.float32)
    down, across = np.meshgrid(ticks, ticks, indexing="ij")
    pull_down, pull_across = np.zeros_like(down), np.zeros_like(across)
    for mass in swellings:
        to_row, to_column = mass.row - down, mass.column - across
        distance2 = (to_row**2 + to_column**2) * (PITCH_MM / (1.6 * mass.radius_mm)) ** 2
        pull = mass.strength * np.exp(-distance2)
        pull_down += pull * to_row
        pull_across += pull * to_column
    plane = np.stack([across + pull_across, down + pull_down]) - GRID_PX / 2
    voxels = np.tensordot(geometry.basis.astype(np.float32) * np.float32(PITCH_MM), plane, axes=1)
    voxels += geometry.displacement[:, ::step, ::step] + geometry.origin.astype(np.float32)[:, None, None]
    from_ventricles = voxels - _VENTRICLES.astype(np.float32)[:, None, None]
    near = np.exp(-(from_ventricles**2).sum(0) / np.float32(2 * _VENTRICLE_SPREAD_MM**2))
    voxels -= np.float32(ventricle_gain) * near * from_ventricles
    return np.asarray(voxels, dtype=np.float32)


def coarse_tissue(volume: Volume, geometry: Geometry) -> Coarse:
    """Where the slice holds what, on the coarse grid."""
    t1, grey, white = _interpolate(volume, _voxels(geometry, COARSE_STEP, (), 0.0))
    return Coarse(brain=t1 > _T1_OF_FLUID / 2, matter=grey + white > 0.55 * 255)


def _interpolate(volume: Volume, voxels: Float) -> Float:
    """T1, grey and white at voxels (3, ...) as float32 (3, ...), trilinear, zero outside.

    SciPy's map_coordinates works the weights out anew for each volume and keeps other threads waiting.
    """
    limits = np.array(volume.t1.shape, dtype=np.float32).reshape(3, *(1,) * (voxels.ndim - 1)) - np.float32(
        1.001
    )
    places = np.clip(voxels + np.float32(1), 0, limits)  # the volume has one empty voxel on every side
    corners = places.astype(np.int32)
    upper = places - corners
    lower = 1 - upper
    _, rows, columns = volume.t1.shape
    first = (corners[0] * rows + corners[1]) * columns + corners[2]
    parts = [part.ravel() for part in (volume.t1, volume.grey, volume.white)]
    values = np.zeros((3, *first.shape), dtype=np.float32)
    for x, y, z in itertools.product((0, 1), repeat=3):
        weight = (upper[0] if x else lower[0]) * (upper[1] if y else lower[1]) * (upper[2] if z else lower[2])
        at = first + np.int32((x * rows + y) * columns + z)
        for i, part in enumerate(parts):
            values[i] += weight * part[at]
    return values


def sample(
    volume: Volume, geometry: Geometry, coarse: Coarse, swellings: Sequence[Swelling], ventricle_gain: float
) -> Tissue:
    """Cut the slice; ventricle_gain -0.3..0.4 narrows or widens the ventricles."""
    voxels = _voxels(geometry, 1, swellings, ventricle_gain)
    near = ndimage.binary_dilation(coarse.brain, iterations=3).repeat(COARSE_STEP, 0).repeat(COARSE_STEP, 1)
    values = np.zeros(voxels.shape, dtype=np.float32)
    values[:, near] = _interpolate(volume, voxels[:, near])
    t1, grey, white = values
    brain = np.clip(t1 / np.float32(_T1_OF_FLUID), 0, 1)
    grey, white = grey / np.float32(255), white / np.float32(255)
    fluid = np.clip(brain - grey - white, 0, 1)
    shade = (t1 - np.float32(_T1_OF_FLUID)) / np.float32(_T1_OF_WHITE - _T1_OF_FLUID)
    detail = np.clip(shade - white - np.float32(0.63) * grey, -0.3, 0.3) * brain
    return Tissue(grey, white, fluid, brain, detail)
