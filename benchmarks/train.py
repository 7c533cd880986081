"""How fast do our recipes train, against a plain torch loop and fastai, from the same weights on the same folds?

    python benchmarks/train.py --images FOLDER --positive-class yes [--backbone NAME] [--folds 0 1] [--epochs 8]
    uv run --with fastai==2.8.12 python benchmarks/train.py ...      # with fastai beside the others

Two questions, asked in one run on this machine:

- images/s: training everything (no frozen stage), our loop (its own precision, channels-last, views made in batches)
  against the plain loop (float32, contiguous, a DataLoader with two workers that decodes and augments by Pillow).
- seconds to equal AUC: what a preset takes for all folds asked for, decoding included, and what the plain loop and
  fastai take until their AUC on the same held-out images reaches the preset's, measured after each epoch. The others
  are thus given the best moment to stop; the preset is not. Time spent on measuring is not counted.

AUC is that of the pooled, uncalibrated probabilities of the held-out folds. These folds choose nothing here, but do
not compare such figures with those of `lightbox retrain`, which are over all folds.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from flows.config import TrainingSettings
from tasks.catalogue import Catalogue, CatalogueSettings, catalogue, read_catalogue
from tasks.data.image_cache import CachedImages
from tasks.data.training_view import TrainingView, held_out_view, training_view
from tasks.ingest import ImagesSource, image_reader, ingest
from tasks.prepare import open_images, prepare
from tasks.run import open_run
from tasks.training.activations import ActivationCache
from tasks.training.compute import compute_on
from tasks.training.fit import train_member
from tasks.training.network import Network
from tasks.training.recipes import PRESETS, FineTune, Full, Optimisation, Probe, TestView, WeightsChoice
from tasks.training.weights import build

BATCH_SIZE = 16
PEER_LEARNING_RATE = 3e-4
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

    found: Catalogue
    views: dict[int, TrainingView]
    held_out: dict[int, tuple[tuple[str, ...], NDArray[np.int64]]]
    pixels: CachedImages
    read: Callable[[str], bytes]
    seconds: float

    @property
    def positive(self) -> int:
        """Index of the class whose AUC is measured."""
        return self.found.classes.index(self.found.positive_class or self.found.classes[-1])


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


def main() -> None:
    """Measure and print."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="lightbox-bench-") as folder:
        data = _prepared(options, Path(folder))
        print(
            f"{data.found.summary.images} images, folds {options.folds} held out in turn, {options.backbone}, "
            f"{compute_on('auto')}, {torch.get_num_threads()} threads, batch {BATCH_SIZE}"
        )
        _throughput(data, options)
        _to_equal_auc(data, options)


def _options() -> Any:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", required=True, help="folder with a folder a class")
    parser.add_argument("--positive-class", required=True)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--presets", nargs="+", default=["fast", "standard"], choices=list(PRESETS))
    parser.add_argument("--folds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--epochs", type=int, default=8, help="most epochs of the plain loop and of fastai")
    parser.add_argument("--steps", type=int, default=12, help="steps over which images/s are measured")
    return parser.parse_args()


def _prepared(options: Any, folder: Path) -> Data:
    run = open_run(str(folder / "workspace"), None, "bench")
    listing = ingest(run, ImagesSource(url=options.images)).listing
    found = catalogue(run, listing, CatalogueSettings(), options.positive_class)
    recipe = TrainingSettings(backbone=options.backbone).recipe()
    started = time.perf_counter()
    cache = prepare(run, listing, found, recipe.preprocessing)
    seconds = time.perf_counter() - started
    table = read_catalogue(run, found)
    paths = dict(zip(table.contents["sha256"], table.contents["path"], strict=True))
    read = image_reader(run, listing)
    held_out = {}
    for fold in options.folds:
        view = held_out_view(table, fold)
        held_out[fold] = (view.sha256, view.labels)
    return Data(
        found=found,
        views={fold: training_view(table, frozenset({fold})) for fold in options.folds},
        held_out=held_out,
        pixels=open_images(run, cache),
        read=lambda sha256: read(paths[sha256]),
        seconds=seconds,
    )


def _throughput(data: Data, options: Any) -> None:
    """Images a second of steps that train everything."""
    view = next(iter(data.views.values()))
    recipe = Full(
        backbone=options.backbone,
        preprocessing=TrainingSettings(backbone=options.backbone).recipe().preprocessing,
        probe_views=0,
        optimisation=Optimisation(epochs=2, batch_size=BATCH_SIZE),
    )
    member = train_member(view, data.pixels, view.classes, recipe, 0)
    ours = len(view) / member.curves[-1].seconds
    network = _fresh(options.backbone, view)
    optimizer = torch.optim.AdamW(network.parameters(), PEER_LEARNING_RATE)
    device = compute_on("auto").device
    network.to(device)
    loader = iter(_loader(data, view, network))
    first = next(loader)
    _plain_step(network, optimizer, first[0], first[1], device)
    started, images = time.perf_counter(), 0
    for _, (pixels, labels) in zip(range(options.steps), loader, strict=False):
        _plain_step(network, optimizer, pixels, labels, device)
        images += len(labels)
    plain = images / (time.perf_counter() - started)
    print(
        f"\ntraining everything, images/s: ours {ours:.1f}, plain loop {plain:.1f}, ratio {ours / plain:.2f}"
    )


def _to_equal_auc(data: Data, options: Any) -> None:
    presets = [_preset_course(data, options, name) for name in options.presets]
    peers = [_plain_course(data, options)]
    fastai = _fastai_course(data, options)
    peers += [fastai] if fastai else []
    print("\nepochs of the others: seconds so far, AUC")
    for course in peers:
        seconds = np.cumsum(course.seconds)
        told = (f"{seconds[e]:.0f} s {course.auc(data, e):.3f}" for e in range(len(seconds)))
        print(f"  {course.name:<12} {', '.join(told)}")
    for preset in presets:
        target = preset.auc(data, 0)
        print(f"\n{preset.name}: {preset.seconds[0]:.0f} s, AUC {target:.3f}")
        for course in peers:
            print(f"  {_compared(preset, course, data, target)}")


def _compared(preset: Course, course: Course, data: Data, target: float) -> str:
    seconds = np.cumsum(course.seconds)
    reached = [epoch for epoch in range(len(seconds)) if course.auc(data, epoch) >= target]
    if reached:
        needed = float(seconds[reached[0]])
        return f"{course.name} needs {needed:.0f} s for that, ratio {needed / preset.seconds[0]:.1f}"
    best = max(course.auc(data, epoch) for epoch in range(len(seconds)))
    return (
        f"{course.name} does not reach it in {seconds[-1]:.0f} s (best {best:.3f}), "
        f"ratio over {seconds[-1] / preset.seconds[0]:.1f}"
    )


def _preset_course(data: Data, options: Any, preset: Any) -> Course:
    course = Course(f"preset {preset}")
    recipe = TrainingSettings(preset=preset, backbone=options.backbone).recipe()
    shared = ActivationCache()
    for number, (fold, view) in enumerate(data.views.items()):
        member = train_member(view, data.pixels, view.classes, recipe, 0, activations=shared)
        seconds = member.seconds + (data.seconds if number == 0 else 0.0)
        course.add(0, fold, seconds, _scores(data, member.network, fold, recipe))
    return course


def _scores(
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


def _fresh(backbone: str, view: TrainingView) -> Network:
    network, _ = build(backbone, len(view.classes), WeightsChoice(), seed=0)
    return network


def _plain_course(data: Data, options: Any) -> Course:
    course = Course("plain loop")
    device = compute_on("auto").device
    for fold, view in data.views.items():
        torch.manual_seed(0)
        network = _fresh(options.backbone, view).to(device)
        optimizer = torch.optim.AdamW(network.parameters(), PEER_LEARNING_RATE)
        loader = _loader(data, view, network)
        for epoch in range(options.epochs):
            started = time.perf_counter()
            for pixels, labels in loader:
                _plain_step(network, optimizer, pixels, labels, device)
            course.add(epoch, fold, time.perf_counter() - started, _scores(data, network, fold, None))
    return course


def _plain_step(
    network: Network, optimizer: torch.optim.Optimizer, pixels: Tensor, labels: Tensor, device: torch.device
) -> None:
    network.train()
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(network(pixels.to(device)), labels.to(device))
    torch.autograd.backward(loss)
    optimizer.step()


def _loader(data: Data, view: TrainingView, network: Network) -> DataLoader[tuple[Tensor, int]]:
    return DataLoader(_Files(data, view, network), BATCH_SIZE, shuffle=True, num_workers=2)


class _Files(Dataset[tuple[Tensor, int]]):
    """As tutorials do it: open a file, augment it by Pillow, make it a tensor."""

    def __init__(self, data: Data, view: TrainingView, network: Network) -> None:
        from torchvision.transforms import v2

        self._data, self._view = data, view
        side = data.pixels.size_px
        self._transform = v2.Compose(
            [
                v2.Resize((side, side)),
                v2.RandomHorizontalFlip(),
                v2.RandomVerticalFlip(),
                v2.RandomAffine(180, (0.05, 0.05), (0.85, 1.15)),
                v2.ColorJitter(0.2, 0.2),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(network.spec.mean, network.spec.std),
            ]
        )

    def __len__(self) -> int:
        return len(self._view)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.open(io.BytesIO(self._data.read(self._view.sha256[index]))).convert("RGB")
        return self._transform(image), int(self._view.labels[index])


def _fastai_course(data: Data, options: Any) -> Course | None:
    try:
        from fastai.vision import all as fastai
    except ImportError:
        print(
            "\nfastai is not installed: run with `uv run --with fastai==2.8.12` to have it beside the others"
        )
        return None
    course = Course("fastai")
    device = compute_on("auto").device
    for fold, view in data.views.items():
        fastai.set_seed(0)
        network = _with_fastai_head(fastai, _fresh(options.backbone, view)).to(device)
        with tempfile.TemporaryDirectory() as folder:
            paths = list(_written(data, view, Path(folder)))
            learner = _fastai_learner(fastai, data, view, network, paths, device)
            _fit_fastai(fastai, learner, course, data, fold, options.epochs)
    return course


def _with_fastai_head(fastai: Any, network: Network) -> Network:
    """The body's weights under the pooling and the head that fastai's own learners put on a body."""
    n_classes = network.head.out_features
    network.pool = nn.Identity()
    network.head = fastai.create_head(network.spec.feature_dim, n_classes)
    fastai.apply_init(network.head, nn.init.kaiming_normal_)
    return network


def _written(data: Data, view: TrainingView, folder: Path) -> Iterator[Path]:
    for sha256 in view.sha256:
        path = folder / sha256
        path.write_bytes(data.read(sha256))
        yield path


def _fastai_learner(
    fastai: Any, data: Data, view: TrainingView, network: Network, paths: Sequence[Path], device: torch.device
) -> Any:
    side = data.pixels.size_px
    loaders = fastai.ImageDataLoaders.from_lists(
        paths[0].parent,
        list(paths),
        [view.classes[label] for label in view.labels],
        valid_pct=0,
        bs=BATCH_SIZE,
        num_workers=2,
        device=device,
        item_tfms=fastai.Resize(side, method="squish"),
        batch_tfms=[
            *fastai.aug_transforms(flip_vert=True, max_rotate=180.0, max_zoom=1.15, max_warp=0),
            fastai.Normalize.from_stats(network.spec.mean, network.spec.std),
        ],
    )
    return fastai.Learner(
        loaders,
        network,
        loss_func=fastai.CrossEntropyLossFlat(),
        splitter=lambda model: [fastai.params(model.stages), fastai.params(model.head)],
    )


def _fit_fastai(fastai: Any, learner: Any, course: Course, data: Data, fold: int, epochs: int) -> None:
    """Fastai's own fine-tuning: one epoch of the head, then everything by one cycle."""
    network: Network = learner.model
    started = [time.perf_counter()]

    class Measure(fastai.Callback):  # type: ignore[misc]
        done = 0

        def after_train(self) -> None:
            seconds = time.perf_counter() - started[0]
            course.add(Measure.done, fold, seconds, _scores(data, network, fold, None))
            Measure.done += 1
            network.train()
            started[0] = time.perf_counter()

    learner.add_cb(Measure())
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(epochs - 1)


if __name__ == "__main__":
    main()
