"""The contestants of `train.py` that are not ours: a loop as tutorials write it, and fastai by its own defaults."""

import io
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from train_data import BATCH_SIZE, Course, Data, fresh_network, held_out_scores

from tasks.data.training_view import TrainingView
from tasks.training.device import compute_on
from tasks.training.network import Network

PEER_LEARNING_RATE = 3e-4


def plain_course(data: Data, options: Any) -> Course:
    """The plain loop, measured after each epoch."""
    course = Course("plain loop")
    device = compute_on("auto").device
    for fold, view in data.views.items():
        torch.manual_seed(0)
        network = fresh_network(options.backbone, view).to(device)
        optimizer = torch.optim.AdamW(network.parameters(), PEER_LEARNING_RATE)
        loader = plain_loader(data, view, network)
        for epoch in range(options.epochs):
            started = time.perf_counter()
            for pixels, labels in loader:
                plain_step(network, optimizer, pixels, labels, device)
            course.add(epoch, fold, time.perf_counter() - started, held_out_scores(data, network, fold, None))
    return course


def plain_step(
    network: Network, optimizer: torch.optim.Optimizer, pixels: Tensor, labels: Tensor, device: torch.device
) -> None:
    """One step that trains everything."""
    network.train()
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(network(pixels.to(device)), labels.to(device))
    torch.autograd.backward(loss)
    optimizer.step()


def plain_loader(data: Data, view: TrainingView, network: Network) -> DataLoader[tuple[Tensor, int]]:
    """Batches as tutorials make them, by two worker processes."""
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


def fastai_course(data: Data, options: Any) -> Course | None:
    """Fastai, measured after each epoch; None where it is not installed."""
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
        network = _with_fastai_head(fastai, fresh_network(options.backbone, view)).to(device)
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
            course.add(Measure.done, fold, seconds, held_out_scores(data, network, fold, None))
            Measure.done += 1
            network.train()
            started[0] = time.perf_counter()

    learner.add_cb(Measure())
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(epochs - 1)
