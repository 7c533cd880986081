"""One shape for every backbone: stages of maps, a pool to features, a linear head."""

import copy
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.overrides import TorchFunctionMode

from tasks.errors import ConfigError
from tasks.training.backbones import BACKBONES, BackboneSpec


class Network(nn.Module):
    """A backbone cut into stages, with a head of its own.

    `stages` turn images into maps; freezing is by a number of them from the start. `pool` turns maps (N, C, H, W)
    into features (N, D), of a transformer its tokens (N, L, D). `head` is linear.
    """

    def __init__(self, spec: BackboneSpec, stages: nn.Sequential, pool: nn.Module, n_classes: int) -> None:
        super().__init__()
        self.spec = spec
        self.stages = stages
        self.pool = pool
        self.head = nn.Linear(spec.feature_dim, n_classes)

    def features(self, images: Tensor) -> Tensor:
        """Float32 (N, 3, S, S) RGB, normalised → (N, D)."""
        pooled: Tensor = self.pool(self.stages(images))
        return pooled

    def forward(self, images: Tensor) -> Tensor:
        """Float32 (N, 3, S, S) RGB, normalised → logits (N, classes)."""
        logits: Tensor = self.head(self.features(images))
        return logits


def spec_of(name: str) -> BackboneSpec:
    """Look a backbone up.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in BACKBONES:
        raise ConfigError(f"backbone {name!r} is unknown", cure=f"use one of {', '.join(BACKBONES)}")
    return BACKBONES[name]


def original(spec: BackboneSpec, size_px: int) -> nn.Module:
    """The library's own network with its 1000 ImageNet classes and random weights.

    Raises:
        ConfigError: the backbone cannot take images of this size.
    """
    if spec.family == "efficientnet_lite":
        import timm

        lite: nn.Module = timm.create_model(f"tf_{spec.name}", pretrained=False)
        return lite
    import torchvision

    options: dict[str, Any] = {}
    if spec.family == "vit":
        if size_px % 16:
            raise ConfigError(
                f"{spec.name} takes images in patches of 16 pixels, not {size_px}",
                cure="name sizes that are divisible by 16 in space.sizes_px (--space-sizes-px)",
            )
        options["image_size"] = size_px
    return cast("nn.Module", torchvision.models.get_model(spec.name, weights=None, **options))


def cut(spec: BackboneSpec, library: nn.Module, n_classes: int) -> Network:
    """Take the library's network apart into stages and pool; a new head starts at zero."""
    stages, pool = _CUTS[spec.family](library)
    network = Network(spec, nn.Sequential(*stages), pool, n_classes)
    nn.init.zeros_(network.head.weight)
    nn.init.zeros_(network.head.bias)
    return network.eval()


def _averaged() -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))


def _cut_lite(net: Any) -> tuple[list[nn.Module], nn.Module]:
    stem = nn.Sequential(net.conv_stem, net.bn1, net.blocks[0])
    return [stem, *net.blocks[1:], nn.Sequential(net.conv_head, net.bn2)], _averaged()


def _cut_densenet(net: Any) -> tuple[list[nn.Module], nn.Module]:
    maps = net.features
    stages = [nn.Sequential(maps.conv0, maps.norm0, nn.ReLU(), maps.pool0)]
    stages += [
        nn.Sequential(getattr(maps, f"denseblock{i}"), getattr(maps, f"transition{i}")) for i in (1, 2, 3)
    ]
    return [*stages, nn.Sequential(maps.denseblock4, maps.norm5, nn.ReLU())], _averaged()


def _cut_resnet(net: Any) -> tuple[list[nn.Module], nn.Module]:
    stem = nn.Sequential(net.conv1, net.bn1, nn.ReLU(), net.maxpool)
    return [stem, net.layer1, net.layer2, net.layer3, net.layer4], _averaged()


def _cut_features(net: Any) -> tuple[list[nn.Module], nn.Module]:
    return list(net.features), _averaged()


def _cut_convnext(net: Any) -> tuple[list[nn.Module], nn.Module]:
    return list(net.features), nn.Sequential(nn.AdaptiveAvgPool2d(1), net.classifier[0], nn.Flatten(1))


class Patches(nn.Module):
    """Images to tokens with positions: the entry of torchvision's VisionTransformer."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.conv_proj = net.conv_proj
        self.class_token = net.class_token
        self.pos_embedding = net.encoder.pos_embedding

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) → (N, 1 + patches, D)."""
        patches = self.conv_proj(images).flatten(2).transpose(1, 2)
        token = self.class_token.expand(patches.shape[0], -1, -1)
        tokens: Tensor = torch.cat([token, patches], dim=1) + self.pos_embedding
        return tokens


class ClassToken(nn.Module):
    """Tokens to features: the class token after the last normalisation."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, L, D) → (N, D)."""
        features: Tensor = self.norm(tokens[:, 0])
        return features


def _cut_vit(net: Any) -> tuple[list[nn.Module], nn.Module]:
    return [Patches(net), *net.encoder.layers], ClassToken(net.encoder.ln)


_CUTS: dict[str, Callable[[Any], tuple[list[nn.Module], nn.Module]]] = {
    "efficientnet_lite": _cut_lite,
    "densenet": _cut_densenet,
    "resnet": _cut_resnet,
    "efficientnet": _cut_features,
    "mobilenet": _cut_features,
    "convnext": _cut_convnext,
    "vit": _cut_vit,
}


class _Uses(TorchFunctionMode):
    """Counts how often each tensor of this thread goes into another."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[int] = Counter()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call, and note the inputs of what gives a tensor."""
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.counts.update(id(x) for x in (*args, *(kwargs or {}).values()) if isinstance(x, Tensor))
        return result


def fold_batch_norm(network: Network) -> Network:
    """A copy in which each batch norm that only follows a convolution is part of it; outputs stay the same.

    Faster, and the statistics are frozen as small data sets want them. Batch norms before a convolution
    (DenseNet's) stay, and must be kept in evaluation mode by whoever trains.
    """
    folded = copy.deepcopy(network).eval()
    if not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in folded.stages.modules()):
        return folded
    for conv, norm in _convolutions_with_norm(folded):
        modules = dict(folded.stages.named_modules())
        after = modules[norm]
        _replace(folded.stages, conv, fuse_conv_bn_eval(cast("Any", modules[conv]), cast("Any", after)))
        _replace(folded.stages, norm, _after(after))
    return folded


def _convolutions_with_norm(network: Network) -> list[tuple[str, str]]:
    """Convolutions whose output goes into one batch norm and nowhere else, and that norm, by name.

    Seen on tensors without data: torch.fx would patch what all threads call, and others may be training.
    """
    stages = copy.deepcopy(network.stages).to("meta")
    uses = _Uses()
    outputs: dict[int, tuple[str, Tensor]] = {}
    pairs: list[tuple[str, str, int]] = []

    def convolved(name: str, _: nn.Module, __: object, output: Tensor) -> None:
        outputs[id(output)] = (name, output)  # held, so that no later tensor gets its id
        uses.counts[id(output)] = 0  # of earlier tensors that had it

    def normalised(name: str, _: nn.Module, inputs: tuple[Tensor]) -> None:
        if id(inputs[0]) in outputs:
            pairs.append((outputs[id(inputs[0])][0], name, id(inputs[0])))

    for name, module in stages.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(partial(convolved, name))
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.register_forward_pre_hook(partial(normalised, name))
    side = network.spec.default_size_px
    with torch.no_grad(), uses:
        stages(torch.empty((1, 3, side, side), device="meta"))
    return [(conv, norm) for conv, norm, output in pairs if uses.counts[output] == 1]


def _after(norm: nn.Module) -> nn.Module:
    """What is left of a folded batch norm: timm's carries its activation."""
    activation = getattr(norm, "act", None)
    return activation if isinstance(activation, nn.Module) else nn.Identity()


def _replace(root: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(root.get_submodule(parent), name, module)
