"""What a trained network says of images, in the precision that the device is fast in."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.training.activations import AS_IT_IS, ActivationCache, Activations, Images
from tasks.training.device import compute_on
from tasks.training.network import Network
from tasks.training.recipes import VIEWS, TestView
from tasks.training.transforms import NO_TRANSFORMS


@torch.no_grad()
def member_logits(
    network: Network,
    images: Images,
    sha256s: Sequence[str],
    views: Sequence[TestView],
    *,
    device: str = "auto",
) -> NDArray[np.float64]:
    """Logits (n, classes) of images, averaged over test views. `images.take` gives pixels as the network wants them."""
    compute = compute_on(device)
    source = Activations(
        network,
        0,
        images=images,
        transforms=NO_TRANSFORMS,
        seed=0,
        compute=compute,
        cache=ActivationCache(max_bytes=0),
        weights_name="",
    )
    head = network.head.to(compute.device)
    found = []
    for start in range(0, len(sha256s), compute.chunk):
        pixels = source.views(sha256s[start : start + compute.chunk], AS_IT_IS)
        logits = [
            head(
                source.features_of(
                    (pixels.transpose(2, 3) if VIEWS[view][0] else pixels).flip(VIEWS[view][1])
                )
            )
            for view in views
        ]
        found.append(torch.stack(logits).mean(0).double().cpu())
    return torch.cat(found).numpy() if found else np.empty((0, network.head.out_features))
