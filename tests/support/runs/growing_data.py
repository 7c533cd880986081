"""A hospital's data over ten half-years, and a retrain after each: what the tests of growth and pruning look at.

New pictures come each time; copies of old ones arrive late under new names, recompressed or shifted; labels are
corrected; pictures vanish and come back; a third class appears.
"""

import hashlib
import io
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from flows.config import DataSet, TrainingSettings, WorkspaceLocation
from flows.result import RetrainResult
from flows.retrain import retrain
from tasks.data.settings import CatalogueSettings, ImagesSource
from tasks.evaluation.settings import GateSettings
from tasks.images.settings import Preprocessing
from tasks.models.bundle import Bundle
from tasks.models.registry import Registry
from tasks.stores.workspace import Workspace
from tasks.training.recipes import PRESETS, Probe

YEARS = 10
SIDE = 96
NAME = "growing"
CLASS_APPEARS = 4
"""The half-year in which pictures of a third class come for the first time."""
HOLD_OUT = (2, 3, 4, 5, 7, 8, 9)
"""Half-years that are judged by a hold-out, as quicker; the others by cross-validation."""
HOLDOUT_CHECKS = CatalogueSettings(n_folds=3, protocol="holdout")
PROMOTED_BY_HAND, ROLLED_BACK = 6, 8
"""After these retrains a person promotes that version, and takes it back."""


@dataclass(frozen=True)
class Judged:
    """A prediction that was made: by which member of which bundle, of which content."""

    bundle: str
    member: int
    sha256: str


@dataclass
class HalfYear:
    """What one retrain found and left."""

    number: int
    result: RetrainResult
    contents: frozenset[str]
    judged: frozenset[Judged]


@dataclass
class Grown:
    """The workspace after ten retrains, with what each of them did."""

    images: Path
    workspace: Path
    cache: Path
    half_years: list[HalfYear] = field(default_factory=list)
    copies: dict[str, str] = field(default_factory=dict)

    @property
    def registry(self) -> Registry:
        return Registry(Workspace(str(self.workspace)))

    def retrain(self, **changes: Any) -> RetrainResult:
        """The recurring run."""
        settings: dict[str, Any] = {
            "images": ImagesSource(url=str(self.images)),
            "workspace": WorkspaceLocation(url=str(self.workspace)),
            "dataset": DataSet(name=NAME, positive_class="yes"),
            "checks": CatalogueSettings(n_folds=3, protocol="cross_validation"),
            "training": TrainingSettings(preset="fast"),
            "gate": GateSettings(
                min_recall=0.2,
                min_specificity=0,
                above_trivial_facts=False,
                min_common_groups=5,
                on="value",
                max_recall_loss=1.0,
                max_specificity_loss=1.0,
            ),
        }
        result: RetrainResult = retrain.fn(**{**settings, **changes})
        return result


def scan(number: int, label: str) -> NDArray[np.uint8]:
    """A picture like no other, uint8 (SIDE, SIDE, 3): coloured waves and boxes, with a white disc, a bar or neither.

    So unlike one another that none counts as a copy by chance.
    """
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    picture = np.zeros((SIDE, SIDE, 3)) + rng.uniform(0, 170, 3)
    for _ in range(rng.integers(2, 7)):
        angle, frequency, phase = rng.uniform([0, 1, 0], [np.pi, 14, 2 * np.pi])
        wave = np.sin(2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle)) + phase)
        place = gaussian_filter(rng.normal(size=(SIDE, SIDE)), rng.uniform(4, 16))
        wave[place < np.quantile(place, rng.uniform(0.3, 0.8))] = 0
        picture += wave[..., None] * rng.uniform(-80, 80, 3)
    for _ in range(rng.integers(0, 5)):
        top, left, bottom, right = rng.integers(0, SIDE, 4)
        picture[min(top, bottom) : max(top, bottom), min(left, right) : max(left, right)] = rng.uniform(
            0, 170, 3
        )
    picture = picture.clip(0, 180)
    row, column = rng.integers(SIDE // 3, 2 * SIDE // 3, 2) / SIDE
    if label == "yes":
        picture[(y - row) ** 2 + (x - column) ** 2 < 1 / 64] = 255
    elif label == "other":
        picture[:, abs(x[0] - column) < 0.05] = 255
    return picture.clip(0, 255).astype(np.uint8)


def png(pixels: NDArray[np.uint8]) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def recompressed(data: bytes) -> bytes:
    """The picture as a JPEG file of poor quality."""
    copy = io.BytesIO()
    with Image.open(io.BytesIO(data)) as picture:
        picture.convert("RGB").save(copy, "JPEG", quality=70)
    return copy.getvalue()


def shifted(data: bytes) -> bytes:
    """The picture, moved by two pixels."""
    with Image.open(io.BytesIO(data)) as picture:
        return png(np.roll(np.asarray(picture.convert("RGB")), 2, axis=1))


class Hospital:
    """A folder of images that changes from half-year to half-year."""

    def __init__(self, images: Path) -> None:
        self.images = images
        self._next = 0
        self._drawer: dict[str, bytes] = {}
        self.copies: dict[str, str] = {}

    def add(self, label: str, count: int) -> None:
        for _ in range(count):
            self._put(f"{label}/{self._next:04d}.png", png(scan(self._next, label)))
            self._next += 1

    def copy(self, path: str, by: Callable[[bytes], bytes]) -> None:
        """A late copy of an old picture, under another name."""
        original = self._drawer[path] if path in self._drawer else (self.images / path).read_bytes()
        copied = by(original)
        self._put(f"{Path(path).parent}/late {by.__name__} {Path(path).stem}", copied)
        self.copies[_sha256(copied)] = _sha256(original)

    def relabel(self, path: str, label: str) -> None:
        (self.images / path).rename(self.images / label / Path(path).name)

    def hide(self, path: str) -> None:
        self._drawer[path] = (self.images / path).read_bytes()
        (self.images / path).unlink()

    def bring_back(self) -> None:
        for path, data in self._drawer.items():
            self._put(path, data)
        self._drawer.clear()

    def contents(self) -> frozenset[str]:
        return frozenset(_sha256(file.read_bytes()) for file in self.images.rglob("*") if file.is_file())

    def _put(self, path: str, data: bytes) -> None:
        (self.images / path).parent.mkdir(parents=True, exist_ok=True)
        (self.images / path).write_bytes(data)


def half_year(number: int, hospital: Hospital) -> None:
    """What happens to the images before retrain `number`, counted from 1."""
    first = number == 1
    hospital.add("no", 13 if first else 2)
    hospital.add("yes", 13 if first else 2)
    if number == 2:
        hospital.copy("no/0000.png", recompressed)
        hospital.copy("yes/0013.png", shifted)
    if number == 3:
        hospital.hide("no/0002.png")
        hospital.hide("yes/0014.png")
        hospital.relabel("no/0003.png", "yes")
    if number == CLASS_APPEARS:
        hospital.add("other", 9)
        hospital.copy("yes/0015.png", recompressed)
    if number == 5:
        hospital.copy("no/0002.png", recompressed)  # whose original has vanished
    if number == 6:
        hospital.copy("yes/0016.png", shifted)
        hospital.bring_back()
        hospital.relabel("yes/0003.png", "no")
    if number == 8:
        hospital.copy("no/0004.png", shifted)
        hospital.hide("no/0005.png")


@pytest.fixture(scope="session")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Grown:
    """Ten half-years played."""
    folder = tmp_path_factory.mktemp("growing")
    grown = Grown(folder / "images", folder / "ws", folder / "cache")
    hospital = Hospital(grown.images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIGHTBOX_CACHE", str(grown.cache))
        quick(patch)
        watched = watch(patch)
        for number in range(1, YEARS + 1):
            half_year(number, hospital)
            watched.clear()
            result = grown.retrain(**({"checks": HOLDOUT_CHECKS} if number in HOLD_OUT else {}))
            grown.half_years.append(HalfYear(number, result, hospital.contents(), frozenset(watched)))
            if number == PROMOTED_BY_HAND:
                grown.registry.promote(NAME, result.version, ("by hand",))
            if number == ROLLED_BACK:
                grown.registry.rollback(NAME, ("by hand",))
    grown.copies = hospital.copies
    return grown


@pytest.fixture
def grown_copy(grown: Grown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Grown]:
    """A copy of the grown workspace that a test may change, ready for another quick retrain."""
    shutil.copytree(grown.workspace, tmp_path / "ws")
    monkeypatch.setenv("LIGHTBOX_CACHE", str(grown.cache))
    quick(monkeypatch)
    yield Grown(grown.images, tmp_path / "ws", grown.cache, grown.half_years, grown.copies)


def quick(patch: pytest.MonkeyPatch) -> None:
    """Let `fast` be a linear head on one view of small pictures."""
    recipe = Probe(preprocessing=Preprocessing(size_px=64, crop_to_content=False), views=1, inner_folds=2)
    patch.setitem(PRESETS, "fast", recipe)


def watch(patch: pytest.MonkeyPatch) -> set[Judged]:
    """Write down which member of which bundle predicts which content, at the graph's own door."""
    judged: set[Judged] = set()
    predict_unseen, predict_pixels = Bundle.predict_unseen, Bundle.predict_pixels
    contents: dict[bytes, str] = {}

    def unseen(
        self: Bundle,
        images: dict[Preprocessing, NDArray[np.uint8]],
        sha256s: list[str],
        *rest: Any,
        **more: Any,
    ) -> Any:
        for pixels in images.values():
            contents.update(zip((picture.tobytes() for picture in pixels), sha256s, strict=True))
        return predict_unseen(self, images, sha256s, *rest, **more)

    def by_member(self: Bundle, pixels: NDArray[np.uint8], member: int | None = None, *rest: Any) -> Any:
        if member is not None:
            judged.update(Judged(self.uri, member, contents[picture.tobytes()]) for picture in pixels)
        return predict_pixels(self, pixels, member, *rest)

    patch.setattr(Bundle, "predict_unseen", unseen)
    patch.setattr(Bundle, "predict_pixels", by_member)
    return judged


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
