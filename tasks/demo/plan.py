"""What the demo data set will hold, decided before anything is drawn: names, kinds, formats, copies.

Everything that could tell the classes apart without looking at the brain (size, format, brightness, plane,
contrast) is spread evenly over each class by stratified draws, so that no such fact is a shortcut.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from tasks.demo.anatomy import Plane
from tasks.demo.contrast import Contrast
from tasks.demo.picture import Acquisition, Border, FileMode
from tasks.demo.settings import N_NO, N_YES
from tasks.errors import ConfigError

DemoLabel = Literal["no", "yes"]
EntryKind = Literal["slice", "exact_copy", "near_copy", "corrupt", "wrong_label"]
Choice = TypeVar("Choice", bound=str)

EXACT_COPIES, NEAR_COPIES = 12, 10
"""Copies in the full set; a smaller or larger set has them in proportion."""
WRONG_LABELS = 4
"""Files of the full set that lie in the folder of the other class: in proportion, rounded down in each class."""
MAX_IMAGES = 20_000
PLAIN_EASE = 0.8
"""Of a lesion among the images without: an expert would not have missed it."""

_PLANES: Mapping[Plane, float] = {"axial": 0.95, "coronal": 0.03, "sagittal": 0.02}
_CONTRASTS: Mapping[Contrast, float] = {"t1": 0.1, "t1_enhanced": 0.5, "t2": 0.15, "flair": 0.25}
_BORDERS: Mapping[Border, float] = {"none": 0.84, "frame": 0.06, "bars": 0.04, "grey": 0.06}
_MODES: Mapping[FileMode, float] = {
    "jpeg_rgb": 0.79,
    "jpeg_grey": 0.11,
    "png_rgb": 0.02,
    "png_rgba": 0.03,
    "png_grey": 0.03,
    "png_palette": 0.02,
}
_OTHER: Mapping[DemoLabel, DemoLabel] = {"no": "yes", "yes": "no"}
_NAMES: Mapping[DemoLabel, tuple[str, ...]] = {
    "no": ("{} no", "N{}", "no {}", "No{}"),
    "yes": ("Y{}", "Y{}", "Y{} ", "yes {}"),
}


@dataclass(frozen=True)
class SliceSpec:
    """One slice to draw. stream is the number of its own random stream; numbers are 0..1 within their range.

    label says what it shows; ease how plain a lesion is (`lesions.draw_lesions`) and means nothing without one.
    """

    label: DemoLabel
    stream: int
    plane: Plane
    position: float
    breadth: float
    contrast: Contrast
    ease: float
    has_skull: bool
    acquisition: Acquisition


@dataclass(frozen=True)
class Entry:
    """One file of the set: path below the image folder, and the path of which it is a copy, if any."""

    path: str
    kind: EntryKind
    spec: SliceSpec
    source: str | None


class _EvenDraws:
    """Draws spread evenly over one class: each of n strata is hit once (a Latin hypercube)."""

    def __init__(self, rng: np.random.Generator, n: int) -> None:
        self.rng, self.n = rng, n

    def uniform(self) -> npt.NDArray[np.float64]:
        return (self.rng.permutation(self.n) + self.rng.random(self.n)) / self.n

    def choice(self, shares: Mapping[Choice, float]) -> list[Choice]:
        options = list(shares)
        edges = np.cumsum([shares[option] for option in options])[:-1]
        return [options[i] for i in np.searchsorted(edges, self.uniform(), side="right")]

    def flag(self, share: float) -> list[bool]:
        return [bool(value < share) for value in self.uniform()]


def plan(seed: int, n_no: int, n_yes: int) -> list[Entry]:
    """Every file of the set, sorted by path; the same for the same arguments.

    Raises:
        ConfigError: under 2 images without or 3 with a lesion, over MAX_IMAGES a class, a negative seed.
    """
    if not (2 <= n_no <= MAX_IMAGES and 3 <= n_yes <= MAX_IMAGES and seed >= 0):
        raise ConfigError(
            f"A demo set of {n_no} images without and {n_yes} with a lesion and seed {seed} cannot be made.",
            cure=f"ask for 2 to {MAX_IMAGES} without, 3 to {MAX_IMAGES} with one, and a seed of 0 or more",
        )
    entries = _plan_class(np.random.default_rng([seed, 0]), "no", n_no, corrupt=0, first_stream=10)
    entries += _plan_class(np.random.default_rng([seed, 1]), "yes", n_yes, corrupt=1, first_stream=10 + n_no)
    return sorted(entries, key=lambda entry: entry.path)


def _plan_class(
    rng: np.random.Generator, label: DemoLabel, n: int, corrupt: int, first_stream: int
) -> list[Entry]:
    total = N_NO + N_YES
    exact, near = round(n * EXACT_COPIES / total), round(n * NEAR_COPIES / total)
    wrong = n * WRONG_LABELS // total
    originals = _draw_specs(rng, label, n - exact - near, first_stream)
    picked = rng.choice(len(originals) - corrupt, size=exact + near + wrong, replace=False)
    copied, mislabelled = picked[: exact + near], set(picked[exact + near :].tolist())
    numbers = iter(rng.permutation(np.arange(1, n + 1)).tolist())
    entries = []
    for i, spec in enumerate(originals):
        kind: EntryKind = "corrupt" if i >= len(originals) - corrupt else "slice"
        shown = spec
        if i in mislabelled:
            kind, shown = "wrong_label", replace(spec, label=_OTHER[label], ease=PLAIN_EASE)
        entries.append(_entry(rng, next(numbers), label, shown, kind, None))
    for i, original in enumerate(copied):
        source = entries[original]
        copy: EntryKind = "exact_copy" if i < exact else "near_copy"
        entries.append(_entry(rng, next(numbers), label, source.spec, copy, source.path))
    return entries


def _draw_specs(rng: np.random.Generator, label: DemoLabel, n: int, first_stream: int) -> Sequence[SliceSpec]:
    draws = _EvenDraws(rng, n)
    planes, contrasts = draws.choice(_PLANES), draws.choice(_CONTRASTS)
    modes, borders = draws.choice(_MODES), draws.choice(_BORDERS)
    skulls, texts = draws.flag(0.93), draws.flag(0.12)
    position, breadth, ease = draws.uniform(), draws.uniform(), draws.uniform()
    numbers = {
        name: draws.uniform()
        for name in ("side", "margin", "brightness", "gamma", "noise", "bias", "sharpness", "quality")
    }
    return [
        SliceSpec(
            label=label,
            stream=first_stream + i,
            plane=planes[i],
            position=float(position[i]),
            breadth=float(breadth[i]),
            contrast=contrasts[i],
            ease=float(ease[i]),
            has_skull=skulls[i] and planes[i] == "axial",  # below the brain there is no head to draw
            acquisition=Acquisition(
                **{name: float(values[i]) for name, values in numbers.items()},
                border=borders[i],
                text=texts[i],
                mode=modes[i],
            ),
        )
        for i in range(n)
    ]


def _entry(
    rng: np.random.Generator,
    number: int,
    folder: DemoLabel,
    spec: SliceSpec,
    kind: EntryKind,
    source: str | None,
) -> Entry:
    is_jpeg = kind in ("near_copy", "corrupt") or spec.acquisition.mode.startswith("jpeg")
    if is_jpeg:
        extension = str(rng.choice([".jpg", ".JPG", ".jpeg", ".png"], p=[0.62, 0.22, 0.13, 0.03]))
    else:
        extension = str(rng.choice([".png", ".PNG", ".jpg"], p=[0.6, 0.2, 0.2]))
    stem = str(rng.choice(_NAMES[folder])).format(number)
    return Entry(f"{folder}/{stem}{extension}", kind, spec, source)
