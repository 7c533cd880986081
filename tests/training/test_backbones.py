"""Every backbone stands as its facts say; packaged weights are really in the network."""

import importlib
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tasks.errors import ConfigError
from tasks.training.backbones import BACKBONES, BackboneName
from tasks.training.network import fold_batch_norm, original, spec_of
from tasks.training.recipes import WeightsChoice
from tasks.training.weights import build

LITES = ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]
SMALL = ["densenet121", "resnet18", "efficientnet_b0", "mobilenet_v3_large", "efficientnet_lite0"]
OTHERS = [name for name in BACKBONES if name not in SMALL]
RANDOM = WeightsChoice(source="none")


def test_every_name_of_the_form_has_its_facts() -> None:
    assert set(BACKBONES) == set(get_args(BackboneName))
    assert all(0 < spec.early_stages < spec.n_stages for spec in BACKBONES.values())


def test_torchvisions_own_names_of_the_weights() -> None:
    import torchvision

    for spec in BACKBONES.values():
        if spec.package is None:
            weights = torchvision.models.get_model_weights(spec.name)["IMAGENET1K_V1"]
            assert weights.url == spec.url
            assert tuple(weights.transforms().mean) == spec.mean
            assert tuple(weights.transforms().std) == spec.std


def check_backbone(name: str) -> None:
    network, record = build(name, 3, RANDOM, size_px=64)
    assert record.source == "none"
    assert len(network.stages) == network.spec.n_stages
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:  # statistics of their own, so that folding cannot pass by doing nothing
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.8, 1.2)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    folded = fold_batch_norm(network)
    with torch.inference_mode():
        features = network.features(images)
        assert features.shape == (2, network.spec.feature_dim)
        assert not torch.equal(features[0], features[1])
        # Against the largest feature: random weights blow activations up, and with them float32's rounding.
        difference = (folded.features(images) - features).abs().max() / features.abs().max()
        assert difference < 1e-3
        assert torch.equal(network(images), torch.zeros(2, 3))
    left = [module for module in folded.modules() if isinstance(module, _BatchNorm)]
    assert (len(left) < len(norms)) if norms else not left
    assert not left or network.spec.family == "densenet"


@pytest.mark.parametrize("name", SMALL)
def test_stages_features_and_folding(name: str) -> None:
    check_backbone(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_stages_features_and_folding_of_the_large(name: str) -> None:
    check_backbone(name)


@pytest.mark.parametrize("name", LITES)
def test_every_tensor_of_the_package_is_in_the_network(name: str) -> None:
    spec = spec_of(name)
    folder = importlib.import_module(str(spec.package)).__path__[0]
    state = torch.load(f"{folder}/models/{spec.weights_file}", weights_only=True)
    network, record = build(name, 2)
    assert record.licence == "Apache-2.0"
    assert record.source == f"package {str(spec.package).replace('_', '-')}"
    tensors = [value for key, value in state.items() if not key.startswith("_fc.")]
    own = [value for key, value in network.state_dict().items() if not key.startswith("head.")]
    assert len(tensors) == len(own)
    for theirs, ours in zip(tensors, own, strict=True):  # both in the order of the layers
        assert torch.equal(theirs, ours)


def test_the_network_knows_imagenet() -> None:
    """Wrong names, padding, epsilon or preprocessing would not tell a daisy and a Chinese temple."""
    from sklearn.datasets import load_sample_images

    from tasks.training.weights import _find, _parse, load_into

    spec = spec_of("efficientnet_lite0")
    network = original(spec, 224).eval()
    load_into(network, spec, _parse(_find(spec, WeightsChoice())), "package")
    photographs = [np.asarray(Image.fromarray(p).resize((224, 224))) for p in load_sample_images().images]
    images = torch.from_numpy(np.stack(photographs)).permute(0, 3, 1, 2) / 255
    images = (images - torch.tensor(spec.mean)[:, None, None]) / torch.tensor(spec.std)[:, None, None]
    with torch.inference_mode():
        china, flower = network(images).topk(5).indices.tolist()
    monastery, palace, daisy = 663, 698, 985  # of the 1000 classes
    assert {monastery, palace} <= set(china)
    assert flower[0] == daisy


def test_a_random_start_follows_its_seed() -> None:
    one, again, other = (build("resnet18", 2, RANDOM, seed=seed)[0].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


def test_an_unknown_backbone_and_an_odd_size_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'resnet19' is unknown.*\n.*resnet18"):
        build("resnet19", 2)
    with pytest.raises(ConfigError, match="patches of 16"):
        build("vit_b_16", 2, RANDOM, size_px=200)


def test_the_forms_need_no_torch() -> None:
    code = (
        "import sys, tasks.training.recipes; print(sorted({'torch', 'timm', 'sklearn'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
