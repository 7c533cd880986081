"""A bundle at work: load it from anywhere, predict from pixels or from the bytes of image files.

What is evaluated and what is served is this module. numpy, Pillow, ONNX Runtime, fsspec and pydantic only: no
torch, pandas, scikit-learn or Prefect in the process. Nothing of a bundle is ever unpickled.
"""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.errors import BundleError
from tasks.images.decode import decoded, prepare
from tasks.images.reject_reasons import ImageRejected, RejectReason
from tasks.images.settings import Preprocessing
from tasks.models.bundle_files import BundleFiles
from tasks.models.inference import Graph, available_cpus, probabilities
from tasks.models.manifest import (
    BUNDLE_FILE,
    GRAPH_FILE,
    TRAINING_IMAGES_FILE,
    WEIGHTS_FILE,
    BundleManifest,
)
from tasks.models.runtimes import Precision, faster_runtime
from tasks.models.training_images import TrainingImages
from tasks.stores.fetch import default_cache_root
from tasks.stores.workspace import Workspace
from tasks.work.progress import Progress, silent

__all__ = ["Bundle", "Prediction", "Rejected", "load_bundle", "probabilities"]

_IMAGES_IN_HAND: Final = 64


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says of one image: the label, and each class's calibrated probability in bundle order."""

    label: str
    probabilities: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Rejected:
    """An image that cannot be judged, with the reason."""

    reason: RejectReason
    detail: str


class Bundle:
    """A loaded bundle; see `load_bundle`. Its methods may be called from several threads."""

    def __init__(
        self,
        files: BundleFiles,
        manifest: BundleManifest,
        threads: int | None = None,
        precision: Precision = "float32",
    ) -> None:
        self.manifest, self.precision = manifest, precision
        self._files = files
        self._threads = threads or available_cpus()
        self._graphs: dict[str, Graph] = {}
        self._lock = Lock()
        self._graph(GRAPH_FILE)

    @property
    def uri(self) -> str:
        """Where it was loaded from."""
        return self._files.uri

    def verify(self) -> None:
        """Check every file of the bundle against its digest, fetching what is not here yet.

        Raises:
            BundleError: a file is missing or damaged.
        """
        for name in self.manifest.files:
            self._files.path(name)

    def pixels(self, data: bytes) -> NDArray[np.uint8]:
        """Decode an image file as the served model wants it: uint8 (S, S, 3) RGB.

        Raises:
            ImageRejected: it cannot be used.
        """
        with decoded(data, self.manifest.decode_limits) as image:
            return prepare(image.pixels, self.manifest.preprocessing)

    def prepared(self, data: bytes) -> dict[Preprocessing, NDArray[np.uint8]]:
        """Decode an image file once and prepare it in each way that a network of the bundle wants.

        Each uint8 (S, S, 3) RGB, S of that way.

        Raises:
            ImageRejected: it cannot be used.
        """
        with decoded(data, self.manifest.decode_limits) as image:
            return {way: prepare(image.pixels, way) for way in self.manifest.preprocessings}

    def predict_pixels(
        self, pixels: NDArray[np.uint8], member: int | None = None, progress: Progress = silent
    ) -> NDArray[np.float32]:
        """Logits (N, C), float32, of uint8 (N, S, S, 3) RGB: of the served model, or of one member.

        Pixels are prepared as that network wants; see `prepared`.

        Raises:
            BundleError: no such member, or its graph is missing or damaged.
            ValueError: another shape or type of pixels.
        """
        name = GRAPH_FILE if member is None else self._member_file(member)
        return self._graph(name).logits(pixels, progress=progress)

    def class_maps(self, pixels: NDArray[np.uint8], member: int | None = None) -> NDArray[np.float32] | None:
        """How much each place of the image speaks for each class: float32 (N, C, h, w), or None.

        Of the served model, or of one member, on pixels prepared as it wants. Upright, averaged over the test views;
        the mean over the places is the logits (Zhou et al. 2016, Learning Deep Features for Discriminative
        Localization). None where the network does not end in a global average and a linear head.

        Raises:
            BundleError: no such member, or its graph is missing or damaged.
            ValueError: another shape or type of pixels.
        """
        graph = self._graph(GRAPH_FILE if member is None else self._member_file(member))
        return graph.class_maps(pixels) if graph.has_class_maps else None

    def predict_bytes(self, files: Sequence[bytes]) -> list[Prediction | Rejected]:
        """What the served model says of each image file, in order; an unusable one is told with its reason."""
        results: list[Prediction | Rejected] = []
        with ThreadPoolExecutor(self._threads) as pool:
            for start in range(0, len(files), _IMAGES_IN_HAND):
                decoded = list(pool.map(self._pixels_or_reason, files[start : start + _IMAGES_IN_HAND]))
                usable = [item for item in decoded if not isinstance(item, Rejected)]
                predictions = iter(self.decide(self.predict_pixels(np.stack(usable))) if usable else ())
                results += [item if isinstance(item, Rejected) else next(predictions) for item in decoded]
        return results

    def decide(self, logits: NDArray[np.floating]) -> list[Prediction]:
        """From logits (N, C) to calibrated probabilities and a label for each row.

        With a threshold, the positive class is named at or above it, else the likeliest other; without, the likeliest.
        """
        facts = self.manifest
        rows = probabilities(logits, facts.temperature, facts.offsets)
        chosen = rows.argmax(axis=1)
        if facts.threshold is not None and facts.positive_class is not None:
            positive = facts.classes.index(facts.positive_class)
            others = rows.copy()
            others[:, positive] = -1.0
            chosen = np.where(rows[:, positive] >= facts.threshold, positive, others.argmax(axis=1))
        return [
            Prediction(facts.classes[index], dict(zip(facts.classes, row.tolist(), strict=True)))
            for index, row in zip(chosen.tolist(), rows, strict=True)
        ]

    def members_unseen_by(self, sha256: str, group: str, *, copies: Collection[str] = ()) -> tuple[int, ...]:
        """Members that may predict an image honestly: they learnt neither from it nor from its group.

        `copies` are digests of the image's group as it is now, in case groups grew together since. All members
        for an image that the bundle does not know.
        """
        seen = self._training_images.seen_by(sha256, group, copies)
        return tuple(member.index for member in self.manifest.members if member.index not in seen)

    @property
    def learnt_from(self) -> int:
        """Image contents that some member learnt from."""
        return len(self._training_images.images)

    def predict_unseen(
        self,
        images: Mapping[Preprocessing, NDArray[np.uint8]],
        sha256s: Sequence[str],
        groups: Sequence[str],
        copies: Sequence[Collection[str]] | None = None,
        progress: Progress = silent,
        folds: Sequence[int] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Each image's logits by the members that never saw it, averaged; and which members these are.

        `images` holds the same N images in each way that a member wants, uint8 (N, S, S, 3) RGB; see `prepared`.
        Given the images' `folds`, one member judges an image: of those that never saw it, the one that held out its
        fold, else the first. So two models of several members can be compared on images that are new to one of them.
        Returns logits float32 (N, C), zero where no member may judge, and who may, bool (N, members).
        """
        unseen = np.zeros((len(sha256s), len(self.manifest.members)), np.bool_)
        for row, (digest, group) in enumerate(zip(sha256s, groups, strict=True)):
            judging = self.members_unseen_by(digest, group, copies=copies[row] if copies else ())
            if folds is not None:
                judging = self._of_fold(judging, folds[row])
            unseen[row, list(judging)] = True
        judges = unseen.sum(axis=1)
        total = np.zeros((len(unseen), len(self.manifest.classes)), np.float64)
        done, wanted = 0, int(judges.sum())
        for member, facts in enumerate(self.manifest.members):
            rows = np.flatnonzero(unseen[:, member])
            pixels = images[facts.preprocessing]
            for start in range(0, len(rows), _IMAGES_IN_HAND):
                some = rows[start : start + _IMAGES_IN_HAND]
                total[some] += self.predict_pixels(pixels[some], member)
                done += len(some)
                progress(done, wanted, "images")
        return (total / np.maximum(judges, 1)[:, None]).astype(np.float32), unseen

    def _of_fold(self, members: tuple[int, ...], fold: int) -> tuple[int, ...]:
        own = [member for member in members if fold in self.manifest.members[member].held_out]
        return tuple(own or members)[:1]

    def _pixels_or_reason(self, data: bytes) -> NDArray[np.uint8] | Rejected:
        try:
            return self.pixels(data)
        except ImageRejected as rejected:
            return Rejected(rejected.reason, rejected.detail)

    def _member_file(self, member: int) -> str:
        members = self.manifest.members
        if not 0 <= member < len(members):
            raise BundleError(
                f"{self.uri} has no member {member}", cure=f"ask for a member from 0 to {len(members) - 1}"
            )
        return members[member].file

    def _graph(self, name: str) -> Graph:
        with self._lock:
            if name not in self._graphs:
                self._graphs[name] = self._opened(name)
            return self._graphs[name]

    def _opened(self, name: str) -> Graph:
        if name in self.manifest.outer_weights:
            self._files.path(WEIGHTS_FILE)
        path = self._files.path(name)
        graph = Graph(path, self._threads, self.precision)
        expected = (self._preprocessing_of(name).size_px, len(self.manifest.classes))
        if (graph.size_px, graph.n_classes) != expected:
            raise BundleError(
                f"{self.uri}: {name} takes {graph.size_px} px and gives {graph.n_classes} classes; "
                f"{BUNDLE_FILE} says {expected[0]} px and {expected[1]}",
                cure="export the bundle again",
            )
        return graph

    def _preprocessing_of(self, name: str) -> Preprocessing:
        ways = {member.file: member.preprocessing for member in self.manifest.members}
        return ways.get(name, self.manifest.preprocessing)

    @cached_property
    def _training_images(self) -> TrainingImages:
        return TrainingImages.parse(self._files.path(TRAINING_IMAGES_FILE).read_bytes(), self.uri)


def load_bundle(
    uri: str | Path,
    options: Mapping[str, Any] | None = None,
    cache_root: Path | None = None,
    threads: int | None = None,
    precision: Precision | Literal["accepted"] = "float32",
) -> Bundle:
    """Load a bundle from a folder or any fsspec URL; a remote one is kept below `cache_root`, file by file.

    The schema is checked first, and each file's SHA-256 before the file is used. Only what is used is fetched:
    the served graph now, members and the record of training images when they are asked for. `options` are the
    store's (default: from the environment); `threads` the images computed and decoded at once. With the precision
    `accepted`, bfloat16 is used where the bundle's evaluation accepted it and this machine is fast in it.

    Raises:
        BundleError: no bundle is there, it is damaged or incomplete, or its schema is another version's.
        ConfigError, AccessDenied: the URL cannot be used.
    """
    files = BundleFiles(Workspace(str(uri), options), cache_root or default_cache_root())
    if precision == "accepted":
        faster = files.manifest.faster
        precision = "bfloat16" if faster and faster.accepted and faster_runtime() else "float32"
    return Bundle(files, files.manifest, threads, precision)
