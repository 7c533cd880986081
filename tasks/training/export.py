"""From trained networks to a bundle: ONNX graphs proved against torch, the weights, and `bundle.json`.

`model.onnx` is what is served and stands alone. The members' graphs hold no weights: they read theirs from
`model.safetensors` beside them. Early stages that are equal in all members run once, and members of which only
the linear heads differ are served as one network with the mean head.
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
from onnx import TensorProto
from torch import nn

from tasks.data.progress import Progress, silent
from tasks.errors import ExportError
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
from tasks.training.bundle_weights import AVERAGE, REFIT, TRUNK, BundleWeights, member_name
from tasks.training.graph import (
    VIEWS,
    Architecture,
    GraphBuilder,
    StagedNetwork,
    has_class_maps,
    structure,
    trace,
)
from tasks.training.parity import normalised, proved, spread, torch_logits

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
class MemberNetwork:
    """A trained network (see `network.Network`) and the folds it was not trained on."""

    network: nn.Module
    held_out: frozenset[int]


@dataclass(frozen=True)
class Normalisation:
    """What a backbone wants of its input: mean and std of the RGB channels on the 0..1 scale."""

    mean: Sequence[float]
    std: Sequence[float]


def export_bundle(
    folder: Path,
    facts: BundleFacts,
    members: Sequence[MemberNetwork],
    *,
    normalisation: Normalisation,
    parity_pixels: NDArray[np.uint8],
    training_images: TrainingImages,
    refit: nn.Module | None = None,
    embed_limit_bytes: int = EMBED_LIMIT_BYTES,
    progress: Progress = silent,
) -> BundleManifest:
    """Write a bundle into a new folder, which appears only when it is whole and proved.

    Networks take float32 (N, 3, S, S) RGB, normalised. `parity_pixels` is uint8 (N, S, S, 3) RGB of real images,
    prepared as the facts say. `refit` is given exactly when it is served.

    Raises:
        ExportError: a graph cannot be made or differs from torch, the folder exists, or what is given does not
            fit together.
    """
    _check(folder, facts, members, parity_pixels, refit)
    networks = {member_name(index): _at_rest(member.network) for index, member in enumerate(members)}
    if refit is not None:
        networks[REFIT] = _at_rest(refit)
    plan = _plan(networks, facts.served)
    steps = len(plan) + 1
    temporary = folder.parent / f".{folder.name}.{uuid4().hex}.tmp"
    try:
        temporary.mkdir(parents=True)
        progress(0, steps, "graphs")
        graphs = _Graphs(temporary, facts, networks, normalisation, embed_limit_bytes)
        pixels = spread(parity_pixels, len(facts.test_views))
        images = normalised(pixels, normalisation.mean, normalisation.std)
        logits = torch_logits(networks, graphs.weights.shared_stages, images, facts.test_views)
        parity = {}
        for done, (file, parts) in enumerate(plan.items(), start=1):
            progress(done, steps, "graphs")
            graphs.write(file, parts)
            parity[file] = proved(temporary / file, np.mean([logits[part] for part in parts], axis=0), pixels)
        (temporary / TRAINING_IMAGES_FILE).write_bytes(training_images.to_bytes())
        manifest = BundleManifest(
            **dict(facts),
            members=tuple(
                Member(
                    index=index,
                    held_out=tuple(sorted(member.held_out)),
                    file=_file_of(member_name(index), networks),
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


class _Graphs:
    """Saves the weights, traces each structure among the networks once, then stitches graph after graph."""

    def __init__(
        self,
        folder: Path,
        facts: BundleFacts,
        networks: Mapping[str, StagedNetwork],
        normalisation: Normalisation,
        embed_limit_bytes: int,
    ) -> None:
        self._folder, self._facts, self._normalisation = folder, facts, normalisation
        self._embed_limit_bytes = embed_limit_bytes
        self._networks = networks
        self._n_stages = len(next(iter(networks.values())).stages)
        self.outer: set[str] = set()
        self.weights = BundleWeights(networks)
        self.weights.save(folder)
        traced: dict[str, Architecture] = {}
        self._architectures: dict[str, Architecture] = {}
        for name, network in networks.items():
            key = structure(network)
            if key not in traced:
                traced[key] = self._traced(network)
            self._architectures[name] = traced[key]

    def write(self, file: str, parts: Sequence[str]) -> None:
        """One graph: the mean of the parts' logits and, where they have any, class maps, over the test views."""
        facts = self._facts
        if file != GRAPH_FILE or self._size_bytes(parts) > self._embed_limit_bytes:
            self.outer.add(file)
        builder = GraphBuilder()
        images = builder.normalised(self._normalisation.mean, self._normalisation.std)
        start = maps = builder.views(images, facts.test_views)
        n_stages, first = self._n_stages, self.weights.shared
        if first:
            start = maps = self._add(builder, file, parts[0], (0, self.weights.shared_stages), start, TRUNK)
        if first > n_stages:
            start = self._add(builder, file, parts[0], (n_stages, first), start, TRUNK)
        one_head = len(parts) > 1 and self.weights.heads_differ_only
        logits, class_maps = [], []
        for name, prefix in [(parts[0], AVERAGE)] if one_head else [(part, part) for part in parts]:
            features = start
            if first < n_stages:
                features = maps = self._add(builder, file, name, (first, n_stages), start, prefix)
            logits.append(self._add(builder, file, name, (max(first, n_stages), -1), features, prefix))
            if has_class_maps(self._networks[name]):
                head = [self._weight(file, name, prefix, f"head.{part}") for part in ("weight", "bias")]
                class_maps.append(builder.class_maps(maps, *head))
        model = builder.finish(
            builder.mean_of(logits),
            len(facts.test_views),
            len(facts.classes),
            facts.preprocessing.size_px,
            builder.upright(builder.mean_of(class_maps), facts.test_views) if class_maps else None,
        )
        (self._folder / file).write_bytes(model.SerializeToString())

    def _add(
        self, builder: GraphBuilder, file: str, name: str, ends: tuple[int, int], start: str, prefix: str
    ) -> str:  # fmt: skip
        def weight(key: str) -> TensorProto:
            return self._weight(file, name, prefix, key)

        return builder.piece(self._architectures[name], ends, start, prefix, weight)

    def _weight(self, file: str, name: str, prefix: str, key: str) -> TensorProto:
        place = f"{AVERAGE}.{key}" if prefix == AVERAGE else self.weights.place(name, key)
        return self.weights.outer(place) if file in self.outer else self.weights.embedded(place)

    def _size_bytes(self, parts: Sequence[str]) -> int:
        places = {
            self.weights.place(part, key) for part in parts for key in self._architectures[part].weights
        }
        return sum(self.weights.tensors[place].nbytes for place in places)

    def _traced(self, network: StagedNetwork) -> Architecture:
        try:
            return trace(cast("nn.Module", network), self._facts.preprocessing.size_px)
        except Exception as error:
            raise ExportError(
                f"the backbone {self._facts.backbone} cannot be exported to ONNX: {error}",
                cure="use another backbone, or report it with this message",
            ) from error


def _plan(networks: Mapping[str, StagedNetwork], served: str) -> dict[str, list[str]]:
    """Which networks each graph averages, by file."""
    members = [name for name in networks if name != REFIT]
    plan = {GRAPH_FILE: [REFIT] if served == "refit" else members}
    return plan | {_file_of(name, networks): [name] for name in members}


def _file_of(name: str, networks: Mapping[str, StagedNetwork]) -> str:
    """The graph of one member: the served one where it is the only network."""
    return GRAPH_FILE if len(networks) == 1 else f"{name}.onnx"


def _check(
    folder: Path,
    facts: BundleFacts,
    members: Sequence[MemberNetwork],
    pixels: NDArray[np.uint8],
    refit: nn.Module | None,
) -> None:
    side = facts.preprocessing.size_px
    unknown = [view for view in facts.test_views if view not in VIEWS]
    if folder.exists():
        raise ExportError(f"{folder} exists already", cure="export into a new folder")
    if unknown:
        raise ExportError(f"test view {unknown[0]!r} cannot be exported", cure=f"use {', '.join(VIEWS)}")
    if not members or (facts.served == "refit") != (refit is not None):
        raise ExportError(
            f"to serve {facts.served!r} was given {len(members)} members and {'no' if refit is None else 'a'} refit",
            cure="export at least one member, and a refit exactly when it is served",
        )
    if not len(pixels) or pixels.dtype != np.uint8 or pixels.shape[1:] != (side, side, 3):
        raise ExportError(
            f"parity needs uint8 images (N, {side}, {side}, 3), given is {pixels.dtype} {pixels.shape}",
            cure="give images prepared as the bundle's preprocessing says",
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
