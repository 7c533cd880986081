"""The exported graphs say what the networks say, and are refused when they do not."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from support.repository import REPOSITORY
from support.samples.small_bundles import KIND, SIZE_PX, SmallNetwork, facts, members, pixels, write_bundle
from torch import Tensor, nn

from tasks.bundling.bundle import MemberNetwork, assemble_bundle
from tasks.bundling.bundle_weights import read_weights
from tasks.bundling.graph import OPSET, trace
from tasks.bundling.graph_files import NetworkKind
from tasks.errors import BundleError, ExportError
from tasks.images.decode import decode, prepare
from tasks.images.settings import Preprocessing
from tasks.models.bundle import load_bundle
from tasks.models.inference import probabilities
from tasks.models.manifest import BundleFacts, PretrainedWeights
from tasks.models.training_images import TrainingImages
from tasks.training.network import cut, fold_batch_norm, original, spec_of
from tasks.training.weights import build


def torch_logits(network: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a network says of uint8 (N, S, S, 3), computed apart from the exporter."""
    scaled = (images / 255.0 - np.array(KIND.mean)) / np.array(KIND.std)
    with torch.no_grad():
        found: NDArray[np.float32] = network(torch.from_numpy(scaled).permute(0, 3, 1, 2).float()).numpy()
    return found


def small(member: MemberNetwork) -> SmallNetwork:
    assert isinstance(member.network, SmallNetwork)
    return member.network


def operators(graph: Path) -> list[str]:
    return [node.op_type for node in onnx.load(graph, load_external_data=False).graph.node]


def test_served_average_and_members_agree_with_torch(tmp_path: Path) -> None:
    networks = members(3, frozen_stages=1)
    manifest = write_bundle(tmp_path / "b", networks)
    bundle, images = load_bundle(tmp_path / "b"), pixels(37, seed=1)
    each = [torch_logits(member.network, images) for member in networks]
    for index, expected in enumerate(each):
        np.testing.assert_allclose(bundle.predict_pixels(images, index), expected, atol=1e-4)
    np.testing.assert_allclose(bundle.predict_pixels(images), np.mean(each, axis=0), atol=1e-4)
    assert np.ptp(each[0], axis=0).min() > 0.1, "the images must not all look the same to the network"
    assert set(manifest.parity) == {"model.onnx", "member-0.onnx", "member-1.onnx", "member-2.onnx"}
    assert max(manifest.parity.values()) < 1e-5
    assert [member.held_out for member in manifest.members] == [(0,), (1,), (2,)]


@pytest.mark.parametrize(("frozen", "convolutions"), [(0, 9), (1, 7), (2, 5), (3, 3)])
def test_equal_early_stages_run_once(tmp_path: Path, frozen: int, convolutions: int) -> None:
    write_bundle(tmp_path / "b", members(3, frozen_stages=frozen))
    assert operators(tmp_path / "b" / "model.onnx").count("Conv") == convolutions


def test_members_with_equal_features_are_one_network_with_the_mean_head(tmp_path: Path) -> None:
    networks = members(5, frozen_stages=3)
    write_bundle(tmp_path / "b", networks)
    images = pixels(5, seed=1)
    expected = np.mean([torch_logits(member.network, images) for member in networks], axis=0)
    np.testing.assert_allclose(load_bundle(tmp_path / "b").predict_pixels(images), expected, atol=1e-4)
    found = operators(tmp_path / "b" / "model.onnx")
    assert (found.count("Conv"), found.count("Gemm")) == (3, 1)


def test_a_single_member_is_the_served_graph(tmp_path: Path) -> None:
    (only,) = members(1)
    manifest = write_bundle(tmp_path / "b", [only])
    assert manifest.members[0].file == "model.onnx"
    assert set(manifest.files) == {"model.onnx", "model.safetensors", "training_images.json"}
    images = pixels(3)
    np.testing.assert_allclose(
        load_bundle(tmp_path / "b").predict_pixels(images, 0), torch_logits(only.network, images), atol=1e-4
    )


def test_refit_is_served_and_members_stay(tmp_path: Path) -> None:
    networks, refit = members(2, frozen_stages=1), SmallNetwork(7)
    write_bundle(tmp_path / "b", networks, facts(served="refit"), refit=refit)
    bundle, images = load_bundle(tmp_path / "b"), pixels(3)
    np.testing.assert_allclose(bundle.predict_pixels(images), torch_logits(refit, images), atol=1e-4)
    np.testing.assert_allclose(
        bundle.predict_pixels(images, 1), torch_logits(networks[1].network, images), atol=1e-4
    )


def turned(images: NDArray[Any], view: str) -> NDArray[Any]:
    """The views' definition in numpy, on (N, H, W, channels)."""
    definitions: dict[str, Callable[[], NDArray[Any]]] = {
        "identity": lambda: images,
        "hflip": lambda: images[:, :, ::-1],
        "vflip": lambda: images[:, ::-1],
        "rot90": lambda: np.rot90(images, 1, (1, 2)),
        "rot180": lambda: np.rot90(images, 2, (1, 2)),
        "rot270": lambda: np.rot90(images, 3, (1, 2)),
        "transpose": lambda: images.transpose(0, 2, 1, 3),
        "antitranspose": lambda: np.rot90(images, 2, (1, 2)).transpose(0, 2, 1, 3),
    }
    return definitions[view]()


@pytest.mark.parametrize(
    "views",
    [
        ("rot90",),
        ("transpose", "rot270"),
        ("identity", "hflip", "vflip", "rot180", "rot90", "rot270", "transpose", "antitranspose"),
    ],
)
def test_logits_are_averaged_over_the_test_views(tmp_path: Path, views: tuple[str, ...]) -> None:
    networks = members(2, frozen_stages=2)
    write_bundle(tmp_path / "b", networks, facts(test_views=views))
    images = pixels(5, seed=2)
    seen = [np.ascontiguousarray(turned(images, view)) for view in views]
    expected = np.mean([torch_logits(member.network, view) for member in networks for view in seen], axis=0)
    np.testing.assert_allclose(load_bundle(tmp_path / "b").predict_pixels(images), expected, atol=1e-4)


def test_class_maps_stand_where_the_image_is_and_average_to_the_logits(tmp_path: Path) -> None:
    networks = members(2, frozen_stages=1)
    views = ("identity", "hflip", "rot90", "antitranspose")
    back = ("identity", "hflip", "rot270", "antitranspose")
    write_bundle(tmp_path / "b", networks, facts(test_views=views))
    bundle, images = load_bundle(tmp_path / "b"), pixels(3, seed=4)
    expected = []
    for member in networks:
        network = small(member)
        for view, inverse in zip(views, back, strict=True):
            scaled = torch.from_numpy(np.ascontiguousarray(turned(images, view))).permute(0, 3, 1, 2) / 255
            normal = (scaled - torch.tensor(KIND.mean).view(3, 1, 1)) / torch.tensor(KIND.std).view(3, 1, 1)
            with torch.no_grad():
                places = network.head(network.stages(normal).permute(0, 2, 3, 1)).numpy()
            expected.append(turned(places, inverse).transpose(0, 3, 1, 2))
    found = bundle.class_maps(images)
    assert found is not None
    np.testing.assert_allclose(found, np.mean(expected, axis=0), atol=1e-3)
    np.testing.assert_allclose(found.mean(axis=(2, 3)), bundle.predict_pixels(images), atol=1e-3)


def test_networks_without_places_have_no_class_maps(tmp_path: Path) -> None:
    network = SmallNetwork(0)
    network.pool = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(1))
    write_bundle(tmp_path / "b", [MemberNetwork(network, KIND, frozenset({0}))])
    assert load_bundle(tmp_path / "b").class_maps(pixels(1)) is None


def test_networks_of_different_structure_are_averaged(tmp_path: Path) -> None:
    other = SmallNetwork(1)
    other.pool = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(1))
    networks = [
        MemberNetwork(SmallNetwork(1), KIND, frozenset({0})),
        MemberNetwork(other, KIND, frozenset({1})),
    ]
    write_bundle(tmp_path / "b", networks)
    images = pixels(3)
    expected = np.mean([torch_logits(member.network, images) for member in networks], axis=0)
    np.testing.assert_allclose(load_bundle(tmp_path / "b").predict_pixels(images), expected, atol=1e-4)


def test_large_models_keep_their_weights_beside_the_graph(tmp_path: Path) -> None:
    networks = members(2)
    manifest = assemble_bundle(
        tmp_path / "b",
        facts(),
        networks,
        parity_pixels={KIND.preprocessing: pixels(4)},
        training_images=TrainingImages(images=()),
        embed_limit_bytes=1000,
    )
    assert "model.onnx" in manifest.outer_weights
    images = pixels(3)
    expected = np.mean([torch_logits(member.network, images) for member in networks], axis=0)
    np.testing.assert_allclose(load_bundle(tmp_path / "b").predict_pixels(images), expected, atol=1e-4)


def test_weights_can_be_read_back_and_equal_ones_are_kept_once(tmp_path: Path) -> None:
    networks = members(3, frozen_stages=2)
    write_bundle(tmp_path / "b", networks)
    images = pixels(3)
    for index, member in enumerate(networks):
        fresh = SmallNetwork(99)
        fresh.load_state_dict(read_weights(tmp_path / "b", index))
        np.testing.assert_array_equal(torch_logits(fresh, images), torch_logits(member.network, images))
    write_bundle(tmp_path / "apart", members(3))
    shared, apart = (tmp_path / name / "model.safetensors" for name in ("b", "apart"))
    frozen = small(networks[0]).stages[:2].state_dict().values()
    frozen_bytes = sum(tensor.nbytes for tensor in frozen)
    assert apart.stat().st_size - shared.stat().st_size > 1.9 * frozen_bytes
    with pytest.raises(BundleError, match="holds no refit"):
        read_weights(tmp_path / "b", None)


def test_other_precision_and_training_mode_are_left_as_they_were(tmp_path: Path) -> None:
    network = SmallNetwork(3).bfloat16().train()
    before = copy.deepcopy(network.state_dict())
    write_bundle(tmp_path / "b", [MemberNetwork(network, KIND, frozenset({0}))])
    assert network.training
    assert network.head.weight.dtype == torch.bfloat16
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    images = pixels(3)
    expected = torch_logits(copy.deepcopy(network).float().eval(), images)
    np.testing.assert_allclose(load_bundle(tmp_path / "b").predict_pixels(images), expected, atol=1e-4)


def test_graphs_tell_nothing_of_the_machine(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b")
    here = str(REPOSITORY.resolve()).encode()
    for graph in (tmp_path / "b").glob("*.onnx"):
        content = graph.read_bytes()
        assert here not in content
        assert b"site-packages" not in content
        assert onnx.load(graph, load_external_data=False).opset_import[0].version == OPSET


class Deceptive(nn.Module):
    """Computes something else while it is exported."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps * 1.5 if torch.compiler.is_exporting() else maps


def test_a_graph_that_differs_is_refused_and_nothing_stays(tmp_path: Path) -> None:
    network = SmallNetwork(0)
    network.stages.append(Deceptive())
    with pytest.raises(ExportError, match=r"model\.onnx differs from torch by 0\.\d+ .* over 4 images"):
        write_bundle(tmp_path / "b", [MemberNetwork(network, KIND, frozenset({0}))])
    assert list(tmp_path.iterdir()) == []


def test_one_bad_member_among_good_ones_is_named(tmp_path: Path) -> None:
    networks = members(3)
    with torch.no_grad():
        small(networks[1]).head.weight.fill_(float("nan"))
    with pytest.raises(ExportError, match="differs from torch by nan"):
        write_bundle(tmp_path / "b", networks)
    assert list(tmp_path.iterdir()) == []


class Roundabout(SmallNetwork):
    """More than stages, pool and head."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + 1


def test_a_network_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="more than its stages, pool and head"):
        write_bundle(tmp_path / "b", [MemberNetwork(Roundabout(0), KIND, frozenset({0}))])


def test_what_does_not_fit_together_is_refused_before_any_work(tmp_path: Path) -> None:
    def attempt(
        said: BundleFacts, images: NDArray[np.uint8], networks: list[MemberNetwork], folder: str = "b"
    ) -> None:
        assemble_bundle(
            tmp_path / folder,
            said,
            networks,
            parity_pixels={KIND.preprocessing: images},
            training_images=TrainingImages(images=()),
        )

    (tmp_path / "there").mkdir()
    with pytest.raises(ExportError, match="exists already"):
        attempt(facts(), pixels(1), members(1), "there")
    with pytest.raises(ExportError, match="another kind of network is served"):
        attempt(facts(test_views=("hflip",)), pixels(1), members(1))
    zoomed = replace(members(1)[0], kind=replace(KIND, test_views=("zoom",)))
    with pytest.raises(ExportError, match="test view 'zoom' cannot be exported"):
        attempt(facts(test_views=("zoom",)), pixels(1), [zoomed])
    other = replace(members(1)[0], kind=replace(KIND, backbone="other"))
    with pytest.raises(ExportError, match="members of different kinds have no average"):
        attempt(facts(), pixels(1), [*members(1), other])
    with pytest.raises(ExportError, match="0 members"):
        attempt(facts(), pixels(1), [])
    with pytest.raises(ExportError, match="no refit"):
        attempt(facts(served="refit"), pixels(1), members(1))
    with pytest.raises(ExportError, match="parity needs"):
        attempt(facts(), pixels(0), members(1))
    with pytest.raises(ExportError, match="parity needs"):
        attempt(facts(), np.zeros((2, SIZE_PX, SIZE_PX + 1, 3), np.uint8), members(1))
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["resnet18", "densenet121", "mobilenet_v3_large", "convnext_tiny", "vit_b_16"]
)
def test_backbones_of_every_family(tmp_path: Path, name: str) -> None:
    spec = spec_of(name)
    torch.manual_seed(0)
    first = cut(spec, original(spec, 64), 3)
    nn.init.normal_(first.head.weight)
    second = copy.deepcopy(first)
    for parameter in second.stages[spec.early_stages :].parameters():
        nn.init.normal_(parameter, parameter.mean().item(), 0.02)
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    kind = NetworkKind(name, Preprocessing(size_px=64), ("identity",), spec.mean, spec.std)
    said = facts(classes=("a", "b", "c"), positive_class=None).model_copy(
        update={"preprocessing": kind.preprocessing, "backbone": name}
    )
    manifest = assemble_bundle(
        tmp_path / "b",
        said,
        [MemberNetwork(first, kind, frozenset({0})), MemberNetwork(second, kind, frozenset({1}))],
        parity_pixels={kind.preprocessing: images},
        training_images=TrainingImages(images=()),
    )
    assert max(manifest.parity.values()) < 1e-3
    assert load_bundle(tmp_path / "b").predict_pixels(images).shape == (4, 3)


@pytest.mark.slow
def test_pretrained_members_on_real_images(tmp_path: Path, brain_mri: Path) -> None:
    spec = spec_of("efficientnet_lite0")
    network, weights = build(spec.name, 2)
    network = fold_batch_norm(network)
    preprocessing, views = Preprocessing(), ("identity", "hflip", "vflip", "rot180")
    kind = NetworkKind(spec.name, preprocessing, views, spec.mean, spec.std)
    networks = []
    for fold in range(2):
        member = copy.deepcopy(network)
        with torch.no_grad():
            nn.init.normal_(member.head.weight, std=0.1)
            for parameter in member.stages[5:].parameters():
                parameter.mul_(1 + 0.02 * torch.randn_like(parameter))
        networks.append(MemberNetwork(member, kind, frozenset({fold})))
    files = [
        path for path in sorted(brain_mri.glob("*/*")) if path.suffix.lower() in (".jpg", ".jpeg", ".png")
    ]
    contents = [path.read_bytes() for path in files[::32]]
    images = np.stack([prepare(decode(content).pixels, preprocessing) for content in contents])
    said = facts(test_views=views).model_copy(update={"preprocessing": preprocessing, "backbone": spec.name})
    said = said.model_copy(update={"weights": PretrainedWeights(**weights.model_dump())})
    manifest = assemble_bundle(
        tmp_path / "b",
        said,
        networks,
        parity_pixels={preprocessing: images},
        training_images=TrainingImages(images=()),
    )
    assert max(manifest.parity.values()) < 1e-4
    bundle = load_bundle(tmp_path / "b")
    each = [bundle.predict_pixels(images, member) for member in (0, 1)]
    np.testing.assert_allclose(bundle.predict_pixels(images), np.mean(each, axis=0), atol=1e-4)
    said_of_files = bundle.predict_bytes(contents)
    spread = [prediction.probabilities["yes"] for prediction in said_of_files]  # type: ignore[union-attr]
    np.testing.assert_allclose(spread, probabilities(bundle.predict_pixels(images))[:, 1], atol=1e-6)
    assert max(spread) - min(spread) > 0.05


def test_the_batch_can_have_any_size() -> None:
    architecture = trace(SmallNetwork(0), SIZE_PX)
    assert len(architecture.values) == 1 + 3 + 2
    assert architecture.constants.keys().isdisjoint(architecture.weights)
    assert architecture.weights >= {"stages.0.0.weight", "stages.2.1.running_var", "head.bias"}
