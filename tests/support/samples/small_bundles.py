"""Small networks and real, exported bundles of them, for every test that needs one."""

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from tasks.bundling.bundle import KindNetwork, MemberNetwork, assemble_bundle
from tasks.bundling.graph_files import NetworkKind
from tasks.images.settings import Preprocessing
from tasks.models.manifest import BundleFacts, BundleManifest, PretrainedWeights
from tasks.models.training_images import TrainingImages

SIZE_PX = 32
KIND = NetworkKind(
    backbone="small",
    preprocessing=Preprocessing(size_px=SIZE_PX, fit="squash", crop_to_content=False),
    test_views=("identity",),
    mean=(0.4, 0.5, 0.6),
    std=(0.2, 0.25, 0.3),
)


class SmallNetwork(nn.Module):
    """Three stages, a pool and a head, as `network.Network` has them; its statistics are not the initial ones."""

    def __init__(self, seed: int, n_classes: int = 2) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.stages = nn.Sequential(_stage(3, 8), _stage(8, 12), _stage(12, 16))
            self.pool: nn.Module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
            self.head = nn.Linear(16, n_classes)
            with torch.no_grad():
                self.stages(torch.randn(16, 3, SIZE_PX, SIZE_PX))
                self.head.weight.mul_(60)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Float32 (N, 3, S, S) → logits (N, C)."""
        logits: Tensor = self.head(self.pool(self.stages(images)))
        return logits


def _stage(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, 2, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)
    )


def members(n: int, frozen_stages: int = 0, n_classes: int = 2) -> list[MemberNetwork]:
    """Networks that are equal in their first stages; member k held out fold k."""
    first = SmallNetwork(0, n_classes)
    found = []
    for index in range(n):
        network = SmallNetwork(index, n_classes)
        network.stages[:frozen_stages].load_state_dict(first.stages[:frozen_stages].state_dict())
        found.append(MemberNetwork(network, KIND, frozenset({index})))
    return found


def facts(
    name: str = "small",
    classes: tuple[str, ...] = ("no", "yes"),
    positive_class: str | None = "yes",
    served: Literal["average", "refit"] = "average",
    test_views: tuple[str, ...] = ("identity",),
    threshold: float | None = None,
) -> BundleFacts:
    """What a bundle of small networks says of itself."""
    return BundleFacts(
        name=name,
        classes=classes,
        positive_class=positive_class,
        backbone=KIND.backbone,
        weights=PretrainedWeights(source="none", sha256=None, licence=None),
        recipe={"kind": "full"},
        preprocessing=KIND.preprocessing,
        test_views=test_views,
        threshold=threshold,
        dataset_digest="0" * 64,
        protocol="cross_validation",
        served=served,
    )


def pixels(n: int, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth coloured pictures, uint8 (N, S, S, 3)."""
    rng = np.random.default_rng(seed)
    small = [Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)) for _ in range(n)]
    large = [np.asarray(image.resize((SIZE_PX, SIZE_PX), Image.Resampling.BICUBIC)) for image in small]
    return np.stack(large) if large else np.empty((0, SIZE_PX, SIZE_PX, 3), np.uint8)


def as_png(picture: NDArray[np.uint8]) -> bytes:
    """The bytes of an image file with these pixels."""
    file = BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def write_bundle(
    folder: Path,
    networks: Sequence[MemberNetwork] | None = None,
    said: BundleFacts | None = None,
    training_images: TrainingImages | None = None,
    refit: nn.Module | None = None,
) -> BundleManifest:
    """Export a bundle of small networks with the facts' views: by default three with one first stage."""
    said = said or facts()
    kind = replace(KIND, test_views=said.test_views)
    return assemble_bundle(
        folder,
        said,
        [replace(member, kind=kind) for member in networks or members(3, frozen_stages=1)],
        parity_pixels={kind.preprocessing: pixels(4)},
        training_images=training_images or TrainingImages(images=()),
        refit=None if refit is None else KindNetwork(refit, kind),
    )
