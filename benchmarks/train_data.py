"""What every contestant of `train.py` is given, and what is noted of each: one prepared data set, its courses."""

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import Tensor

from flows.config import TrainingSettings
from tasks.catalogue import Catalogue, build_catalogue, read_catalogue
from tasks.data.settings import CatalogueSettings, ImagesSource
from tasks.data.training_view import TrainingView, held_out_view, training_view
from tasks.engine.run import open_run
from tasks.images.image_cache import CachedImages
from tasks.ingest import image_reader, ingest
from tasks.prepare import open_images, prepare_images
from tasks.training.device import compute_on
from tasks.training.network import Network
from tasks.training.recipes import FineTune, Full, Probe, TestView, WeightsChoice
from tasks.training.weights import build

BATCH_SIZE = 16
VIEWS: dict[TestView, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "hflip": lambda x: x.flip(3),
    "vflip": lambda x: x.flip(2),
    "rot180": lambda x: x.flip(2, 3),
    "rot90": lambda x: x.rot90(1, (2, 3)),
    "rot270": lambda x: x.rot90(3, (2, 3)),
    "transpose": lambda x: x.transpose(2, 3),
    "antitranspose": lambda x: x.flip(2, 3).transpose(2, 3),
}


@dataclass(frozen=True)
class Data:
    """One prepared data set: what every contestant is given."""

    catalogue: Catalogue
    views: dict[int, TrainingView]
    held_out: dict[int, tuple[tuple[str, ...], NDArray[np.int64]]]
    pixels: CachedImages
    read: Callable[[str], bytes]
    seconds: float

    @property
    def positive(self) -> int:
        """Index of the class whose AUC is measured."""
        return self.catalogue.classes.index(self.catalogue.positive_class or self.catalogue.classes[-1])


@dataclass
class Course:
    """Seconds and AUC of one contestant, after each epoch of all folds."""

    name: str
    seconds: list[float] = field(default_factory=list)
    scores: list[dict[int, NDArray[np.float64]]] = field(default_factory=list)

    def add(self, epoch: int, fold: int, seconds: float, scores: NDArray[np.float64]) -> None:
        """Note what one fold took in one epoch, and what it said of its held-out images."""
        while len(self.seconds) <= epoch:
            self.seconds.append(0.0)
            self.scores.append({})
        self.seconds[epoch] += seconds
        self.scores[epoch][fold] = scores

    def auc(self, data: Data, epoch: int) -> float:
        """AUC over the held-out images of all folds."""
        labels = np.concatenate([data.held_out[fold][1] == data.positive for fold in self.scores[epoch]])
        return float(roc_auc_score(labels, np.concatenate(list(self.scores[epoch].values()))))


def prepared(options: Any, folder: Path) -> Data:
    """Catalogue and decode the images, and keep the folds that were asked for apart."""
    run = open_run(str(folder / "workspace"), None, "bench")
    listing = ingest(run, ImagesSource(url=options.images)).listing
    catalogue = build_catalogue(run, listing, CatalogueSettings(), options.positive_class)
    recipe = TrainingSettings(backbone=options.backbone).recipe()
    started = time.perf_counter()
    cache = prepare_images(run, listing, catalogue, recipe.preprocessing)
    seconds = time.perf_counter() - started
    table = read_catalogue(run, catalogue)
    paths = dict(zip(table.contents["sha256"], table.contents["path"], strict=True))
    read = image_reader(run, listing)
    held_out = {}
    for fold in options.folds:
        view = held_out_view(table, fold)
        held_out[fold] = (view.sha256, view.labels)
    return Data(
        catalogue=catalogue,
        views={fold: training_view(table, frozenset({fold})) for fold in options.folds},
        held_out=held_out,
        pixels=open_images(run, cache),
        read=lambda sha256: read(paths[sha256]),
        seconds=seconds,
    )


def held_out_scores(
    data: Data, network: Network, fold: int, recipe: Probe | FineTune | Full | None
) -> NDArray[np.float64]:
    """Probability of the positive class for a fold's held-out images, averaged over a recipe's test views.

    Without a recipe the images are prepared as the peers' training prepares them: the whole file, squashed.
    """
    device = compute_on("auto").device
    names, _ = data.held_out[fold]
    views = [VIEWS[name] for name in (recipe.test_views if recipe else ("identity",))]
    network.eval()
    logits = []
    with torch.no_grad():
        for start in range(0, len(names), BATCH_SIZE):
            some = names[start : start + BATCH_SIZE]
            taken = data.pixels.take(some) if recipe else np.stack([_squashed(data, name) for name in some])
            pixels = torch.from_numpy(taken).permute(0, 3, 1, 2)
            images = _normalised(pixels.float() / 255, network).to(device)
            logits.append(torch.stack([network(view(images)) for view in views]).mean(0))
    scores: NDArray[np.float64] = torch.cat(logits).softmax(1)[:, data.positive].double().cpu().numpy()
    return scores


def _squashed(data: Data, sha256: str) -> NDArray[np.uint8]:
    """A file as the peers see it: uint8 (S, S, 3) RGB."""
    side = data.pixels.size_px
    image = Image.open(io.BytesIO(data.read(sha256))).convert("RGB")
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))


def _normalised(images: Tensor, network: Network) -> Tensor:
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (network.spec.mean, network.spec.std))
    return (images - mean) / std


def fresh_network(backbone: str, view: TrainingView) -> Network:
    """Pretrained weights under a head for the classes, the same for every contestant."""
    network, _ = build(backbone, len(view.classes), WeightsChoice(), seed=0)
    return network
