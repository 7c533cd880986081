"""From trained networks to a bundle: ONNX graphs proved against torch, the weights, and `bundle.json`.

`model.onnx` is what is served and stands alone. The members' graphs hold no weights: they read theirs from
`model.safetensors` beside them. Members may differ in backbone, preprocessing and test views when a refit is served.
Early stages that are equal in all networks of a kind run once, and members of which only the linear heads differ are
served as one network with the mean head.
"""

import copy
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, cast
from uuid import uuid4

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tasks.bundling.bundle_weights import REFIT, Family, member_name
from tasks.bundling.graph import StagedNetwork, structure
from tasks.bundling.graph_files import GraphFiles, NetworkKind
from tasks.bundling.parity import normalised, proved, spread, torch_logits
from tasks.errors import ExportError
from tasks.images.settings import Preprocessing
from tasks.models.manifest import (
    GRAPH_FILE,
    TRAINING_IMAGES_FILE,
    BundleFacts,
    BundleManifest,
    Member,
    sha256_of,
    timestamp,
    write_manifest,
)
from tasks.models.training_images import TrainingImages
from tasks.training.recipes import VIEWS
from tasks.work.progress import Progress, silent

EMBED_LIMIT_BYTES: Final = 1_500_000_000
"""Above this `model.onnx` too reads its weights from the file beside it: a protobuf message ends at 2 GiB."""

_PACKAGES: Final = (
    "lightbox",
    "torch",
    "torchvision",
    "timm",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "numpy",
    "pillow",
)


@dataclass(frozen=True)
class KindNetwork:
    """A trained network (see `network.Network`) of a kind."""

    network: nn.Module
    kind: NetworkKind


@dataclass(frozen=True)
class MemberNetwork(KindNetwork):
    """A trained network of a kind, and the folds it was not trained on."""

    held_out: frozenset[int]


def assemble_bundle(
    folder: Path,
    facts: BundleFacts,
    members: Sequence[MemberNetwork],
    *,
    parity_pixels: Mapping[Preprocessing, NDArray[np.uint8]],
    training_images: TrainingImages,
    refit: KindNetwork | None = None,
    embed_limit_bytes: int = EMBED_LIMIT_BYTES,
    progress: Progress = silent,
) -> BundleManifest:
    """Write a bundle into a new folder, which appears only when it is whole and proved.

    Networks take float32 (N, 3, S, S) RGB, normalised, S of their kind. `parity_pixels` holds real images in each way
    that a network wants, uint8 (N, S, S, 3) RGB. `refit` is given exactly when it is served; else the members are all
    of one kind. The facts are those of what is served.

    Raises:
        ExportError: a graph cannot be made or differs from torch, the folder exists, or what is given does not
            fit together.
    """
    _check(folder, facts, members, parity_pixels, refit)
    networks: dict[str, KindNetwork] = {member_name(index): member for index, member in enumerate(members)}
    if refit is not None:
        networks[REFIT] = refit
    families = _families(networks)
    plan = _plan(networks, facts.served)
    steps = len(plan) + 1
    temporary = folder.parent / f".{folder.name}.{uuid4().hex}.tmp"
    try:
        temporary.mkdir(parents=True)
        progress(0, steps, "graphs")
        graphs = GraphFiles(temporary, len(facts.classes), families, embed_limit_bytes)
        logits: dict[str, NDArray[np.float32]] = {}
        pixels: dict[str, NDArray[np.uint8]] = {}
        for family, kind in families.items():
            some = spread(parity_pixels[kind.preprocessing], len(kind.test_views))
            logits |= torch_logits(family, normalised(some, kind.mean, kind.std), kind.test_views)
            pixels |= dict.fromkeys(family.networks, some)
        parity = {}
        for done, (file, parts) in enumerate(plan.items(), start=1):
            progress(done, steps, "graphs")
            graphs.write(file, parts)
            expected = np.mean([logits[part] for part in parts], axis=0)
            parity[file] = proved(temporary / file, expected, pixels[parts[0]])
        (temporary / TRAINING_IMAGES_FILE).write_bytes(training_images.to_bytes())
        manifest = BundleManifest(
            **dict(facts),
            members=tuple(
                Member(
                    index=index,
                    held_out=tuple(sorted(member.held_out)),
                    file=_file_of(member_name(index), networks),
                    backbone=member.kind.backbone,
                    preprocessing=member.kind.preprocessing,
                    test_views=member.kind.test_views,
                )
                for index, member in enumerate(members)
            ),
            parity=parity,
            outer_weights=tuple(sorted(graphs.outer)),
            packages=_installed(),
            created=timestamp(),
            files={path.name: sha256_of(path) for path in sorted(temporary.iterdir())},
        )
        write_manifest(temporary, manifest)
        temporary.rename(folder)
    except OSError as error:
        raise ExportError(
            f"the bundle {folder} cannot be written: {error.strerror or error}",
            cure="free space on the disk, or export into another folder",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    progress(steps, steps, "graphs")
    return manifest


def _families(networks: Mapping[str, KindNetwork]) -> dict[Family, NetworkKind]:
    """Networks of one kind and one structure together, in the order in which they come first."""
    found: dict[tuple[NetworkKind, str], dict[str, StagedNetwork]] = {}
    for name, given in networks.items():
        network = _at_rest(given.network)
        found.setdefault((given.kind, structure(network)), {})[name] = network
    return {
        Family(members, f"trunk-{index}"): kind for index, ((kind, _), members) in enumerate(found.items())
    }


def _plan(networks: Mapping[str, KindNetwork], served: str) -> dict[str, list[str]]:
    """Which networks each graph averages, by file."""
    members = [name for name in networks if name != REFIT]
    plan = {GRAPH_FILE: [REFIT] if served == "refit" else members}
    return plan | {_file_of(name, networks): [name] for name in members}


def _file_of(name: str, networks: Mapping[str, KindNetwork]) -> str:
    """The graph of one member: the served one where it is the only network."""
    return GRAPH_FILE if len(networks) == 1 else f"{name}.onnx"


def _check(
    folder: Path,
    facts: BundleFacts,
    members: Sequence[MemberNetwork],
    pixels: Mapping[Preprocessing, NDArray[np.uint8]],
    refit: KindNetwork | None,
) -> None:
    if folder.exists():
        raise ExportError(f"{folder} exists already", cure="export into a new folder")
    if not members or (facts.served == "refit") != (refit is not None):
        raise ExportError(
            f"to serve {facts.served!r} was given {len(members)} members and {'no' if refit is None else 'a'} refit",
            cure="export at least one member, and a refit exactly when it is served",
        )
    served = (refit or members[0]).kind
    said = (facts.backbone, facts.preprocessing, facts.test_views)
    if said != (served.backbone, served.preprocessing, served.test_views):
        raise ExportError(
            f"the facts tell of {said}, but another kind of network is served",
            cure="tell the backbone, preprocessing and test views of what is served",
        )
    if refit is None and len({member.kind for member in members}) > 1:
        raise ExportError(
            "members of different kinds have no average that one graph could serve",
            cure="serve a refit: one network trained on all images",
        )
    for kind in dict.fromkeys([served, *(member.kind for member in members)]):
        _check_kind(kind, pixels.get(kind.preprocessing))


def _check_kind(kind: NetworkKind, pixels: NDArray[np.uint8] | None) -> None:
    unknown = [view for view in kind.test_views if view not in VIEWS]
    if unknown:
        raise ExportError(f"test view {unknown[0]!r} cannot be exported", cure=f"use {', '.join(VIEWS)}")
    side = kind.preprocessing.size_px
    if pixels is None or not len(pixels) or pixels.dtype != np.uint8 or pixels.shape[1:] != (side, side, 3):
        given = "none" if pixels is None else f"{pixels.dtype} {pixels.shape}"
        raise ExportError(
            f"parity needs uint8 images (N, {side}, {side}, 3), given is {given}",
            cure="give images prepared as the network's preprocessing says",
        )


def _at_rest(network: nn.Module) -> StagedNetwork:
    """The network in evaluation mode, float32, on the CPU; a copy where it is not so already."""
    values = [value for value in network.state_dict().values() if value.is_floating_point()]
    if any(module.training for module in network.modules()) or any(
        value.dtype != torch.float32 or value.device.type != "cpu" for value in values
    ):
        network = copy.deepcopy(network).float().cpu().eval()
    return cast("StagedNetwork", network)


def _installed() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
