"""Whether an exported graph says what torch says, on real images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.bundling.bundle_weights import Family
from tasks.errors import BundleError, ExportError
from tasks.models.inference import Graph, probabilities
from tasks.training.recipes import VIEWS

PARITY_LIMIT: Final = 1e-3
"""The largest difference of a probability from torch's that an exported graph may show."""

PARITY_VIEWS: Final = 16
"""Parity is proved on this many views, of at least four images, spread over those given."""


def spread(pixels: NDArray[np.uint8], n_views: int) -> NDArray[np.uint8]:
    """The images to prove parity on, at even distances among those given."""
    wanted = min(len(pixels), max(4, PARITY_VIEWS // n_views))
    return pixels[np.linspace(0, len(pixels) - 1, wanted).round().astype(np.int64)]


def normalised(pixels: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """From uint8 (N, S, S, 3) to float32 (N, 3, S, S); mean and std on the 0..1 scale."""
    images = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255
    return (images - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)


def torch_logits(family: Family, images: Tensor, views: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """What torch says: each network's logits (N, C), averaged over the views; equal stages are run once.

    `images` is float32 (N, 3, S, S), normalised.
    """
    shared = family.shared_stages
    seen = [(images.transpose(2, 3) if VIEWS[view][0] else images).flip(VIEWS[view][1]) for view in views]
    with torch.inference_mode():
        batch = torch.cat(seen).contiguous(memory_format=torch.channels_last)
        maps = next(iter(family.networks.values())).stages[:shared](batch)
        found = {}
        for name, network in family.networks.items():
            logits = network.head(network.pool(network.stages[shared:](maps)))
            found[name] = logits.unflatten(0, (len(views), len(images))).mean(0).numpy()
    return found


def proved(path: Path, expected: NDArray[np.floating], pixels: NDArray[np.uint8]) -> float:
    """The largest difference of a probability from torch's, whose logits (N, C) are expected of the pixels.

    Raises:
        ExportError: it is above PARITY_LIMIT, or not a number, or the graph does not run.
    """
    try:
        found = Graph(path).logits(pixels)
    except BundleError as error:
        raise ExportError(f"the exported graph does not run: {error.message}", cure=error.cure) from error
    difference = float(np.abs(probabilities(found) - probabilities(expected)).max())
    if not difference <= PARITY_LIMIT:  # not a number is no parity either
        raise ExportError(
            f"{path.name} differs from torch by {difference:.2g} in a probability over {len(pixels)} images "
            f"(limit {PARITY_LIMIT:g})",
            cure="check that the network's outputs are finite; else use another backbone",
        )
    return difference
