"""A bundle whose members differ in backbone, size, preparation and views: each judges images in its own way."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from support.samples.small_bundles import KIND, SmallNetwork, as_png, facts
from torch import nn

from tasks.bundling.bundle import KindNetwork, MemberNetwork, assemble_bundle
from tasks.bundling.bundle_weights import read_weights
from tasks.bundling.graph_files import NetworkKind
from tasks.errors import BundleError
from tasks.images.decode import decode, prepare
from tasks.images.settings import Preprocessing
from tasks.models.bundle import Bundle, load_bundle
from tasks.models.manifest import amend
from tasks.models.training_images import TrainingImage, TrainingImages

LARGE = NetworkKind(
    "other", Preprocessing(size_px=48, fit="letterbox"), ("identity", "hflip"), (0.5,) * 3, (0.25,) * 3
)
DIGESTS = [letter * 64 for letter in "abcd"]


def picture(seed: int) -> bytes:
    """A picture as wide as no network wants it."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return as_png(np.asarray(Image.fromarray(small).resize((90, 60), Image.Resampling.BICUBIC)))


def said_by(network: nn.Module, kind: NetworkKind, files: list[bytes]) -> NDArray[np.float64]:
    """Logits (N, C) in torch, computed apart from the exporter and the bundle."""
    found = []
    for data in files:
        pixels = prepare(decode(data).pixels, kind.preprocessing)
        scaled = (pixels / 255.0 - np.array(kind.mean)) / np.array(kind.std)
        seen = [scaled[:, ::-1] if view == "hflip" else scaled for view in kind.test_views]
        batch = torch.from_numpy(np.stack(seen)).permute(0, 3, 1, 2).float()
        with torch.no_grad():
            found.append(network(batch).mean(0).double().numpy())
    return np.stack(found)


def stacked(bundle: Bundle, files: list[bytes]) -> dict[Preprocessing, NDArray[np.uint8]]:
    each = [bundle.prepared(data) for data in files]
    return {way: np.stack([one[way] for one in each]) for way in bundle.manifest.preprocessings}


@pytest.fixture(scope="module")
def networks() -> list[MemberNetwork]:
    """Members 0 and 2 are of one kind and share two stages; member 1 is another backbone on larger images."""
    first, second, third = (SmallNetwork(seed) for seed in range(3))
    third.stages[:2].load_state_dict(first.stages[:2].state_dict())
    second.stages.append(nn.Sequential(nn.Conv2d(16, 16, 1), nn.ReLU()))
    kinds = (KIND, LARGE, KIND)
    return [
        MemberNetwork(network, kind, frozenset({fold}))
        for fold, (network, kind) in enumerate(zip((first, second, third), kinds, strict=True))
    ]


@pytest.fixture(scope="module")
def refit() -> KindNetwork:
    """Of the second member's kind and structure, with its first stage."""
    network = SmallNetwork(5)
    network.stages.append(nn.Sequential(nn.Conv2d(16, 16, 1), nn.ReLU()))
    network.stages[0].load_state_dict(SmallNetwork(1).stages[0].state_dict())
    return KindNetwork(network.eval(), LARGE)


@pytest.fixture(scope="module")
def folder(
    networks: list[MemberNetwork], refit: KindNetwork, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The bundle; image k is of fold k, the fourth one of all members' training."""
    folder = tmp_path_factory.mktemp("kinds") / "bundle"
    files = [decode(picture(seed)).pixels for seed in range(4)]
    seen = [(1, 2), (0, 2), (0, 1), (0, 1, 2)]
    served = facts(served="refit").model_copy(
        update={"backbone": "other", "preprocessing": LARGE.preprocessing, "test_views": LARGE.test_views}
    )
    manifest = assemble_bundle(
        folder,
        served,
        networks,
        parity_pixels={
            kind.preprocessing: np.stack([prepare(pixels, kind.preprocessing) for pixels in files])
            for kind in (KIND, LARGE)
        },
        training_images=TrainingImages(
            images=tuple(
                TrainingImage(sha256=digest, group=digest, fold=min(place, 2), members=members)
                for place, (digest, members) in enumerate(zip(DIGESTS, seen, strict=True))
            )
        ),
        refit=refit,
    )
    assert set(manifest.parity) == {"model.onnx", "member-0.onnx", "member-1.onnx", "member-2.onnx"}
    assert max(manifest.parity.values()) < 1e-5
    return folder


def test_each_image_is_judged_by_unseen_members_as_they_see_it(
    folder: Path, networks: list[MemberNetwork], refit: KindNetwork
) -> None:
    bundle, files = load_bundle(folder), [picture(seed) for seed in range(4)]
    logits, unseen = bundle.predict_unseen(stacked(bundle, files), DIGESTS, DIGESTS)
    assert unseen.any(axis=1).tolist() == [True, True, True, False]
    for place, member in enumerate(networks):
        expected = said_by(member.network, member.kind, [files[place]])[0]
        np.testing.assert_allclose(logits[place], expected, atol=1e-4)
        others = [said_by(network.network, network.kind, [files[place]])[0] for network in networks]
        assert sum(np.allclose(logits[place], other, atol=1e-2) for other in others) == 1
    served = bundle.predict_pixels(np.stack([bundle.pixels(data) for data in files]))
    np.testing.assert_allclose(served, said_by(refit.network, refit.kind, files), atol=1e-4)


def test_an_image_new_to_all_is_judged_by_all(folder: Path, networks: list[MemberNetwork]) -> None:
    bundle, files = load_bundle(folder), [picture(9)]
    logits, unseen = bundle.predict_unseen(stacked(bundle, files), ["e" * 64], ["new"])
    expected = np.mean([said_by(member.network, member.kind, files) for member in networks], axis=0)
    assert unseen.all()
    np.testing.assert_allclose(logits, expected, atol=1e-4)


@pytest.mark.parametrize("fold", [0, 1, 2, 7])
def test_in_a_comparison_an_image_new_to_all_is_judged_by_the_member_of_its_fold(
    folder: Path, networks: list[MemberNetwork], fold: int
) -> None:
    """Five networks against one would flatter the champion on what came since. A fold of no member: the first."""
    bundle, files = load_bundle(folder), [picture(9)]
    logits, unseen = bundle.predict_unseen(stacked(bundle, files), ["e" * 64], ["new"], folds=[fold])
    own = next((k for k, one in enumerate(bundle.manifest.members) if fold in one.held_out), 0)
    assert unseen.tolist() == [[k == own for k in range(len(networks))]]
    expected = said_by(networks[own].network, networks[own].kind, files)
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_class_maps_are_of_the_members_own_images(folder: Path) -> None:
    bundle, prepared = load_bundle(folder), load_bundle(folder).prepared(picture(0))
    for member in bundle.manifest.members:
        pixels = prepared[member.preprocessing][None]
        maps = bundle.class_maps(pixels, member.index)
        assert maps is not None
        logits = bundle.predict_pixels(pixels, member.index)
        np.testing.assert_allclose(maps.mean(axis=(2, 3)), logits, atol=1e-4)
    with pytest.raises(ValueError, match="uint8"):
        bundle.predict_pixels(prepared[KIND.preprocessing][None], 1)


def test_what_networks_of_a_kind_share_is_kept_once_and_read_back(
    folder: Path, networks: list[MemberNetwork], refit: KindNetwork
) -> None:
    for member, network in [*enumerate(given.network for given in networks), (None, refit.network)]:
        read = read_weights(folder, member)
        assert read.keys() == network.state_dict().keys()
        assert all(torch.equal(read[key], value) for key, value in network.state_dict().items())
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        stages = {".".join(place.split(".")[:3]) for place in list(file.keys()) if ".stages." in place}
    trunks = {"trunk-0.stages.0", "trunk-0.stages.1", "trunk-1.stages.0"}
    own = {f"{name}.stages.2" for name in ("member-0", "member-1", "member-2", "refit")}
    second_kind = {f"{name}.stages.{stage}" for name in ("member-1", "refit") for stage in (1, 3)}
    assert stages == trunks | own | second_kind


def test_a_graph_of_another_size_than_its_members_is_refused(folder: Path, tmp_path: Path) -> None:
    manifest = load_bundle(folder).manifest
    swapped = [
        member.model_copy(update={"preprocessing": KIND.preprocessing}).model_dump()
        for member in manifest.members
    ]
    copied = tmp_path / "bundle"
    copied.mkdir()
    for file in folder.iterdir():
        (copied / file.name).write_bytes(file.read_bytes())
    amend(copied, members=swapped)
    with pytest.raises(BundleError, match=r"member-1\.onnx takes 48 px .* says 32 px"):
        load_bundle(copied).predict_pixels(np.zeros((1, 48, 48, 3), np.uint8), 1)
    with pytest.raises(ValueError, match="is of another kind than what is served"):
        amend(copied, served="average")
