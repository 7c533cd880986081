"""Small real bundles for the endpoint's tests: a network of two convolutions, exported and proved as any other."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tasks.bundling.bundle import MemberNetwork, assemble_bundle
from tasks.bundling.graph_files import NetworkKind
from tasks.images.settings import Preprocessing
from tasks.models.manifest import BundleFacts, PretrainedWeights
from tasks.models.registry import Registry
from tasks.models.training_images import TrainingImages
from tasks.stores.workspace import Workspace

SIZE_PX = 64
REASON = ("for a test",)
ESTIMATE = {"value": 0.94, "lower": 0.9, "upper": 0.97, "n": 155}


class SmallNetwork(nn.Module):
    """Stages, pool and linear head, as every backbone of Lightbox has them."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU()),
            nn.Sequential(nn.Conv2d(8, 16, 3, stride=4, padding=1), nn.ReLU()),
        )
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
        self.head = nn.Linear(16, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised float32 (N, 3, S, S) to logits (N, C)."""
        logits: Tensor = self.head(self.pool(self.stages(images)))
        return logits


def export_small_bundle(
    folder: Path, *, name: str = "slices", seed: int = 0, classes: tuple[str, ...] = ("no", "yes")
) -> Path:
    """A bundle whose figures depend on the seed; two classes have a threshold."""
    torch.manual_seed(seed)
    network = SmallNetwork(len(classes))
    binary = len(classes) == 2
    facts = BundleFacts(
        name=name,
        classes=classes,
        positive_class=classes[1] if binary else None,
        backbone="small",
        weights=PretrainedWeights(source="none", sha256=None, licence=None),
        recipe={"kind": "probe"},
        preprocessing=Preprocessing(size_px=SIZE_PX),
        threshold=0.4 if binary else None,
        temperature=1.3,
        dataset_digest="0" * 64,
        protocol="cross_validation",
        served="average",
        metrics={"recall": ESTIMATE, "specificity": ESTIMATE, "auc": ESTIMATE} if binary else {},
    )
    kind = NetworkKind(facts.backbone, facts.preprocessing, facts.test_views, (0.5,) * 3, (0.5,) * 3)
    pixels = np.random.default_rng(seed).integers(0, 256, (4, SIZE_PX, SIZE_PX, 3), np.uint8)
    assemble_bundle(
        folder,
        facts,
        [MemberNetwork(network.eval(), kind, frozenset({0}))],
        parity_pixels={facts.preprocessing: pixels},
        training_images=TrainingImages(images=()),
    )
    return folder


def publish(root: Path, bundles: list[Path]) -> Registry:
    """A registry with the bundles as v1, v2, ...; v1 is champion."""
    registry = Registry(Workspace(str(root)))
    for bundle in bundles:
        registry.publish(bundle)
    registry.promote("slices", "v1", REASON)
    return registry
