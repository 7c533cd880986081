"""The graph's class maps: where they speak is where torch says so, and their mean is the logits."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from support.samples.small_bundles import KIND, SmallNetwork, facts, members, pixels, write_bundle
from torch import nn

from tasks.bundling.bundle import MemberNetwork
from tasks.models.bundle import load_bundle
from tasks.training.recipes import VIEWS


def torch_class_maps(network: SmallNetwork, images: NDArray[np.uint8], view: str) -> NDArray[np.float32]:
    """Zhou et al. 2016 on one view, turned back; computed apart from the exporter."""
    transposed, reversed_axes = VIEWS[view]
    scaled = (images / 255.0 - np.array(KIND.mean)) / np.array(KIND.std)
    batch = torch.from_numpy(scaled).permute(0, 3, 1, 2).float()
    seen = (batch.transpose(2, 3) if transposed else batch).flip(reversed_axes)
    with torch.no_grad():
        maps = torch.einsum("ndhw,cd->nchw", network.stages(seen), network.head.weight)
        maps = (maps + network.head.bias[:, None, None]).flip(reversed_axes)
    found: NDArray[np.float32] = (maps.transpose(2, 3) if transposed else maps).numpy()
    return found


@pytest.mark.parametrize("frozen", [0, 1, 3])
@pytest.mark.parametrize("views", [("identity",), ("rot90",), ("identity", "hflip", "rot270", "transpose")])
def test_class_maps_agree_with_torch(tmp_path: Path, frozen: int, views: tuple[str, ...]) -> None:
    networks = members(3, frozen_stages=frozen)
    write_bundle(tmp_path / "b", networks, facts(test_views=views))
    bundle, images = load_bundle(tmp_path / "b"), pixels(5, seed=3)
    found = bundle.class_maps(images)
    expected = [torch_class_maps(member.network, images, view) for member in networks for view in views]  # type: ignore[arg-type]
    assert found is not None
    np.testing.assert_allclose(found, np.mean(expected, axis=0), atol=1e-4)
    np.testing.assert_allclose(found.mean(axis=(2, 3)), bundle.predict_pixels(images), atol=1e-4)
    assert np.ptp(found, axis=(2, 3)).min() > 0.1, "the places must not all say the same"


def test_maps_of_rectangles_would_not_hide_a_wrong_turn(tmp_path: Path) -> None:
    (only,) = members(1)
    write_bundle(tmp_path / "b", [only], facts(test_views=("rot90",)))
    images = pixels(4, seed=5)
    found = load_bundle(tmp_path / "b").class_maps(images)
    assert found is not None
    for wrong in ("identity", "rot270", "transpose"):
        other = torch_class_maps(only.network, images, wrong)  # type: ignore[arg-type]
        assert np.abs(found - other).max() > 0.05


def test_a_network_without_a_plain_mean_has_none(tmp_path: Path) -> None:
    network = SmallNetwork(0)
    network.pool = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(1))
    write_bundle(tmp_path / "b", [MemberNetwork(network, KIND, frozenset({0}))])
    bundle = load_bundle(tmp_path / "b")
    assert bundle.class_maps(pixels(2)) is None
    assert bundle.predict_pixels(pixels(2)).shape == (2, 2)


def test_every_graph_has_those_of_its_networks(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", members(2))

    def outputs(file: str) -> list[str]:
        graph = onnx.load(tmp_path / "b" / file, load_external_data=False).graph
        return [output.name for output in graph.output]

    assert outputs("model.onnx") == outputs("member-1.onnx") == ["logits", "activation_map"]
    bundle, images = load_bundle(tmp_path / "b"), pixels(3)
    maps = [bundle.class_maps(images, member) for member in (None, 0, 1)]
    served, first, second = (found for found in maps if found is not None)
    np.testing.assert_allclose(served, (first + second) / 2, atol=1e-4)
    np.testing.assert_allclose(second.mean(axis=(2, 3)), bundle.predict_pixels(images, 1), atol=1e-4)
    assert np.abs(first - second).max() > 0.05
