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
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from train_data import BATCH_SIZE, Course, Data, fresh_network, held_out_scores, prepared
from train_peers import PEER_LEARNING_RATE, fastai_course, plain_course, plain_loader, plain_step

from flows.config import TrainingSettings
from tasks.training.activations import ActivationCache
from tasks.training.device import compute_on
from tasks.training.member import fit_member
from tasks.training.recipes import PRESETS, Full, Optimisation


def main() -> None:
    """Measure and print."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="lightbox-bench-") as folder:
        data = prepared(options, Path(folder))
        print(
            f"{data.catalogue.summary.images} images, folds {options.folds} held out in turn, {options.backbone}, "
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


def _throughput(data: Data, options: Any) -> None:
    """Images a second of steps that train everything."""
    view = next(iter(data.views.values()))
    recipe = Full(
        backbone=options.backbone,
        preprocessing=TrainingSettings(backbone=options.backbone).recipe().preprocessing,
        probe_views=0,
        optimisation=Optimisation(epochs=2, batch_size=BATCH_SIZE),
    )
    member = fit_member(view, data.pixels, view.classes, recipe, 0)
    ours = len(view) / member.curves[-1].seconds
    network = fresh_network(options.backbone, view)
    optimizer = torch.optim.AdamW(network.parameters(), PEER_LEARNING_RATE)
    device = compute_on("auto").device
    network.to(device)
    loader = iter(plain_loader(data, view, network))
    first = next(loader)
    plain_step(network, optimizer, first[0], first[1], device)
    started, images = time.perf_counter(), 0
    for _, (pixels, labels) in zip(range(options.steps), loader, strict=False):
        plain_step(network, optimizer, pixels, labels, device)
        images += len(labels)
    plain = images / (time.perf_counter() - started)
    print(
        f"\ntraining everything, images/s: ours {ours:.1f}, plain loop {plain:.1f}, ratio {ours / plain:.2f}"
    )


def _to_equal_auc(data: Data, options: Any) -> None:
    presets = [_preset_course(data, options, name) for name in options.presets]
    peers = [plain_course(data, options)]
    fastai = fastai_course(data, options)
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
        member = fit_member(view, data.pixels, view.classes, recipe, 0, activations=shared)
        seconds = member.seconds + (data.seconds if number == 0 else 0.0)
        course.add(0, fold, seconds, held_out_scores(data, member.network, fold, recipe))
    return course


if __name__ == "__main__":
    main()
