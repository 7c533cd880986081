"""The weights of a bundle's networks in one safetensors file, where what several have in common stands once.

Tensors are named `<network>.<state-dict key>`: `member-0`, `member-1`, ..., `refit`; `trunk-0`, `trunk-1`, ... for the
first stages that networks of one family share, bit by bit; `average.head` when only the members' linear heads differ.
The file's metadata names the trunk of each network that has one.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tasks.bundling.graph import StagedNetwork
from tasks.errors import BundleError
from tasks.models.manifest import BUNDLE_FILE, WEIGHTS_FILE

AVERAGE: Final = "average"
REFIT: Final = "refit"


def member_name(index: int) -> str:
    """How a member's tensors and graph are named."""
    return f"member-{index}"


@dataclass(frozen=True, eq=False)
class Family:
    """Networks of one structure, whose images are prepared alike; `trunk` names the tensors that they share."""

    networks: Mapping[str, StagedNetwork]
    trunk: str

    @property
    def n_stages(self) -> int:
        """Stages of each of them."""
        return len(next(iter(self.networks.values())).stages)

    @cached_property
    def shared(self) -> int:
        """The number of first stages equal in all of them, 0 for a single one.

        One more where the pooling is equal too and only linear heads differ.
        """
        return _shared(list(self.networks.values()))

    @property
    def shared_stages(self) -> int:
        """The number of first stages equal in all of them."""
        return min(self.shared, self.n_stages)

    @property
    def heads_differ_only(self) -> bool:
        """Whether the networks' mean is one network with the mean head."""
        return self.shared > self.n_stages

    def place(self, name: str, key: str) -> str:
        """The name under which a network's tensor stands."""
        first, *rest = key.split(".")
        in_trunk = (first == "stages" and int(rest[0]) < self.shared) or (
            first == "pool" and self.heads_differ_only
        )
        return f"{self.trunk if in_trunk else name}.{key}"


class BundleWeights:
    """The tensors of all networks by name."""

    def __init__(self, families: Sequence[Family]) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._trunks: dict[str, str] = {}
        for family in families:
            for name, network in family.networks.items():
                if family.shared:
                    self._trunks[name] = family.trunk
                for key, tensor in network.state_dict().items():
                    self.tensors.setdefault(family.place(name, key), tensor.detach().clone().contiguous())
        if len(families) == 1 and families[0].heads_differ_only:
            heads = [network.head for name, network in families[0].networks.items() if name != REFIT]
            self.tensors[f"{AVERAGE}.head.weight"] = _mean([head.weight for head in heads])
            self.tensors[f"{AVERAGE}.head.bias"] = _mean([head.bias for head in heads])
        self._offsets: dict[str, tuple[int, int]] = {}

    def save(self, folder: Path) -> None:
        """Write the file into a bundle's folder."""
        path = folder / WEIGHTS_FILE
        save_file(self.tensors, path, metadata={"format": "pt", **self._trunks})
        self._offsets = _offsets(path)

    def embedded(self, place: str) -> TensorProto:
        """A tensor for a graph that stands alone."""
        return numpy_helper.from_array(self.tensors[place].numpy(), place)

    def outer(self, place: str) -> TensorProto:
        """A tensor for a graph that reads the saved file beside it."""
        tensor, (offset, length) = self.tensors[place], self._offsets[place]
        proto = TensorProto(name=place, dims=list(tensor.shape), data_location=TensorProto.EXTERNAL)
        proto.data_type = helper.np_dtype_to_tensor_dtype(tensor.numpy().dtype)
        for key, value in (("location", WEIGHTS_FILE), ("offset", offset), ("length", length)):
            proto.external_data.add(key=key, value=str(value))
        return proto


def read_weights(bundle: Path, member: int | None) -> dict[str, Tensor]:
    """The state dict of a member, or of the refit (None), from a local bundle.

    Raises:
        BundleError: the bundle holds no such network, or cannot be read.
    """
    name = REFIT if member is None else member_name(member)
    path = bundle / WEIGHTS_FILE
    try:
        with safe_open(path, framework="pt") as file:
            places = list(file.keys())
            if not any(place.startswith(f"{name}.") for place in places):
                raise BundleError(f"{path} holds no {name}", cure=f"see {BUNDLE_FILE} for what it holds")
            trunk = file.metadata().get(name)
            wanted = [place for place in places if place.split(".")[0] in (name, trunk)]
            return {place.split(".", 1)[1]: file.get_tensor(place) for place in wanted}
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read: {error}", cure="name the folder of a whole bundle"
        ) from error


def _shared(networks: Sequence[StagedNetwork]) -> int:
    first = networks[0]
    if len(networks) < 2:
        return 0
    states = [network.state_dict() for network in networks]

    def equal(prefix: str) -> bool:
        keys = [
            key for key in states[0] if key.startswith(prefix) and not key.endswith("num_batches_tracked")
        ]
        return all(torch.equal(state[key], states[0][key]) for state in states[1:] for key in keys)

    for stage in range(len(first.stages)):
        if not equal(f"stages.{stage}."):
            return stage
    linear = isinstance(first.head, nn.Linear) and first.head.bias is not None
    return len(first.stages) + (1 if linear and equal("pool.") else 0)


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([tensor.detach().double() for tensor in tensors]).mean(0).float()


def _offsets(path: Path) -> dict[str, tuple[int, int]]:
    """Where each tensor's bytes stand: offset and length (github.com/huggingface/safetensors, "Format")."""
    with path.open("rb") as file:
        (header_bytes,) = struct.unpack("<Q", file.read(8))
        header: dict[str, Any] = json.loads(file.read(header_bytes))
    places = {name: entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"}
    return {name: (8 + header_bytes + begin, end - begin) for name, (begin, end) in places.items()}
