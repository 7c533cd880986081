"""What `torchrun` runs in a test: a training that each rank joins. Usage: torchrun_script.py FOLDER."""

import os
import sys
from pathlib import Path
from unittest import mock

import torch
import torch.distributed as dist
from support.samples.disc_pictures import SIDE, Pictures, picture, sha256_of, table

from tasks.data.training_view import TrainingView
from tasks.images.settings import Preprocessing
from tasks.training.member import fit_member
from tasks.training.recipes import FineTune, Full, Optimisation, WeightsChoice

SETTINGS = Optimisation(
    epochs=3, batch_size=5, accumulate=2, gradient_norm=1.0, validation_fraction=0.25, patience=3
)  # fmt: skip
FINE_TUNE = FineTune(
    preprocessing=Preprocessing(size_px=SIDE), optimisation=SETTINGS, views=3, probe_views=2, frozen_stages=4
)
"""Of 18 images, steps of 9: no share of them divides by two."""

TRAINED_NORMS = Full(
    preprocessing=Preprocessing(size_px=SIDE),
    backbone="resnet18",
    weights=WeightsChoice(source="none"),
    optimisation=Optimisation(epochs=1, batch_size=12),
    probe_views=0,
)


def train_both(pictures: Pictures, view: TrainingView) -> dict[str, dict[str, torch.Tensor]]:
    """Weights after each recipe's training, in float32: what is left between one process and two is rounding."""
    with mock.patch("tasks.training.device._cpu_has_bfloat16", return_value=False):
        return {
            recipe.kind: dict(
                fit_member(view, pictures, ("no", "yes"), recipe, 0, device="cpu").network.state_dict()
            )
            for recipe in (FINE_TUNE, TRAINED_NORMS)
        }


def main(folder: Path) -> None:
    """Train as a rank, and write the weights."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    pictures = Pictures({sha256_of(i): picture(i, i % 4 >= 2) for i in range(32)})
    torch.save(train_both(pictures, TrainingView(table(32), {0})), folder / f"rank-{os.environ['RANK']}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
