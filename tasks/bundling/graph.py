"""One ONNX graph out of several networks of one architecture: traced once, cut at the stages, stitched.

Tracing takes seconds, and the members of a bundle differ in their weights alone. So the architecture is traced
once with its weights as graph inputs, which also keeps the optimiser from folding the values of one member into
the graph; members then put their own weights in.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from tasks.models.inference import ACTIVATION_MAP
from tasks.training.recipes import VIEWS

OPSET: Final = 20
"""What torch's exporter writes without converting; ONNX Runtime has CPU and CUDA kernels for it from 1.17 on
(onnxruntime.ai/docs/reference/compatibility.html)."""

IR_VERSION: Final = 10
"""The ONNX file format that came with opset 20 and 21."""


class StagedNetwork(Protocol):
    """What is exported: stages of maps, then one vector an image, then a linear head (see `backbones.Network`)."""

    stages: nn.Sequential
    pool: nn.Module
    head: nn.Linear

    def __call__(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of float images (n, 3, S, S)."""

    def state_dict(self) -> dict[str, Any]:
        """The weights by name."""


@dataclass(frozen=True)
class Architecture:
    """A traced network without its weights.

    `values` names what flows: the normalised images, the maps after each stage, the features, the logits.
    `weights` are state-dict keys. `constants` do not depend on the weights.
    """

    nodes: tuple[onnx.NodeProto, ...]
    constants: Mapping[str, TensorProto]
    weights: frozenset[str]
    values: tuple[str, ...]

    def between(self, first: int, last: int) -> list[onnx.NodeProto]:
        """The nodes that lead from value `first` to value `last`, in an order that can be run.

        They may read the images too, for the size of the batch.
        """
        start, stop = self.values[first], self.values[last]
        wanted, found = {stop} - {start}, []
        for node in reversed(self.nodes):
            if wanted.isdisjoint(node.output):
                continue
            found.append(node)
            wanted = (wanted - set(node.output)) | (set(node.input) - {start, self.values[0], ""})
        return found[::-1]


class _EveryValue(nn.Module):
    """A network that shows what it computes on the way."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        network: Any = self.network
        maps = [images]
        for stage in network.stages:
            maps.append(stage(maps[-1]))
        features = network.pool(maps[-1])
        return (*maps[1:], features, network.head(features))


def structure(network: StagedNetwork) -> str:
    """What two networks must have in common to be traced once: layers, options and shapes, not values."""
    shapes = {key: (tuple(value.shape), str(value.dtype)) for key, value in network.state_dict().items()}
    return f"{network!r}\n{shapes}"


def has_class_maps(network: StagedNetwork) -> bool:
    """Whether each place of the last maps speaks for a class by itself: the mean over the places, then a linear head.

    Zhou et al. 2016, Learning Deep Features for Discriminative Localization.
    """
    pool = list(network.pool.children())
    return (
        isinstance(network.head, nn.Linear)
        and len(pool) == 2
        and isinstance(pool[0], nn.AdaptiveAvgPool2d)
        and pool[0].output_size in (1, (1, 1))
        and isinstance(pool[1], nn.Flatten)
    )


def trace(network: nn.Module, size_px: int) -> Architecture:
    """Trace a `StagedNetwork` in evaluation mode, float32, on the CPU, for any number of images.

    Raises:
        ValueError: the network is not its stages, pool and head in a row.
    """
    shown = _EveryValue(copy.deepcopy(network)).eval().requires_grad_(False)
    example = torch.linspace(-1, 1, 2 * 3 * size_px * size_px).view(2, 3, size_px, size_px)
    module: Any
    for module in shown.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # in-place activations are decomposed at great length: half of the time
    keys = {f"network.{key}": key for key in network.state_dict()}
    with torch.no_grad():
        if not torch.allclose(network(example), shown(example)[-1], rtol=1e-3, atol=1e-3):
            raise ValueError("it does more than its stages, pool and head in a row")
        program = torch.export.export(
            shown,
            (example,),
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            strict=False,
        )
        exported = torch.onnx.export(
            program, dynamo=True, opset_version=OPSET, optimize=False, external_data=False, verbose=False
        )
    if exported is None:
        raise TypeError("torch.onnx.export returned no program")
    graph = exported.model.graph
    for name in [name for name in graph.initializers if name in keys]:
        weight = graph.initializers.pop(name)
        weight.const_value = None
        graph.inputs.append(weight)
    exported.optimize()
    proto = exported.model_proto.graph
    images, *weights = [value.name for value in proto.input]
    for node in proto.node:
        _forget_origin(node, keys)
    return Architecture(
        nodes=tuple(proto.node),
        constants={tensor.name: tensor for tensor in proto.initializer},
        weights=frozenset(keys[name] for name in weights),
        values=(images, *(value.name for value in proto.output)),
    )


def _forget_origin(node: onnx.NodeProto, keys: Mapping[str, str]) -> None:
    """Drop the stack traces that the exporter leaves (paths of the machine), and name weights by their keys."""
    node.ClearField("metadata_props")
    node.ClearField("doc_string")
    node.input[:] = [keys.get(name, name) for name in node.input]


Weight = Callable[[str], TensorProto]
"""From a state-dict key to the tensor of the graph that holds it; its name there is the tensor's."""


class GraphBuilder:
    """Nodes and tensors, added piece by piece, that become one model."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._tensors: dict[str, TensorProto] = {}
        self._images = ""

    def normalised(self, mean: Sequence[float], std: Sequence[float]) -> str:
        """From `pixels`, uint8 (N, S, S, 3) RGB, to float32 (N, 3, S, S); mean and std on the 0..1 scale."""
        scale = 1.0 / (255.0 * np.asarray(std, np.float64))
        offset = -np.asarray(mean, np.float64) / np.asarray(std, np.float64)
        planes = self._apply("Transpose", ["pixels"], perm=[0, 3, 1, 2])
        floats = self._apply("Cast", [planes], to=TensorProto.FLOAT)
        scaled = self._apply(
            "Mul", [floats, self._constant("scale", scale.astype(np.float32)[:, None, None])]
        )
        return self._apply(
            "Add", [scaled, self._constant("offset", offset.astype(np.float32)[:, None, None])]
        )

    def views(self, images: str, names: Sequence[str]) -> str:
        """From (N, 3, S, S) to (V*N, 3, S, S): the batch once for each view, in order."""
        seen = [self._view(images, *VIEWS[name]) for name in names]
        self._images = seen[0] if len(seen) == 1 else self._apply("Concat", seen, axis=0)
        return self._images

    def piece(
        self, architecture: Architecture, ends: tuple[int, int], start: str, prefix: str, weight: Weight
    ) -> str:
        """A copy of the nodes between two values of an architecture, with the given weights, run on `start`."""
        first, last = ends
        names = {architecture.values[0]: self._images, architecture.values[first]: start}
        for node in architecture.between(first, last):
            copied = onnx.NodeProto()
            copied.CopyFrom(node)
            copied.name = f"{prefix}/{node.name}"
            for index, name in enumerate(node.input):
                copied.input[index] = names.get(name) or self._tensor(architecture, name, prefix, weight)
            for index, name in enumerate(node.output):
                copied.output[index] = names[name] = f"{prefix}/{name}" if name else ""
            self._nodes.append(copied)
        return names[architecture.values[last]]

    def mean_of(self, logits: Sequence[str]) -> str:
        """The mean of tensors of one shape."""
        if len(logits) == 1:
            return logits[0]
        total = self._apply("Sum", logits)
        return self._apply("Mul", [total, self._constant("member_share", np.float32(1 / len(logits)))])

    def class_maps(self, maps: str, weight: TensorProto, bias: TensorProto) -> str:
        """From the last maps (V*N, D, h, w) and the head's weight (C, D) and bias to (V*N, C, h, w).

        Their mean over the places is the logits.
        """
        for tensor in (weight, bias):
            self._tensors.setdefault(tensor.name, tensor)
        spoken = self._apply("Einsum", [maps, weight.name], equation="ndhw,cd->nchw")
        axes = self._constant("place_axes", np.array([1, 2], np.int64))
        return self._apply("Add", [spoken, self._apply("Unsqueeze", [bias.name, axes])])

    def upright(self, maps: str, names: Sequence[str]) -> str:
        """The mean over the views of square maps (V*N, C, h, w), each first turned back: (N, C, h, w)."""
        parts = [maps]
        if len(names) > 1:
            parts = [f"class_maps_{index}" for index in range(len(names))]
            self._nodes.append(
                helper.make_node(
                    "Split", [maps], parts, name="class_maps_by_view", axis=0, num_outputs=len(names)
                )
            )
        turned = [self._turned_back(part, *VIEWS[name]) for part, name in zip(parts, names, strict=True)]
        if len(turned) == 1:
            return turned[0]
        share = self._constant("view_share", np.float32(1 / len(turned)))
        return self._apply("Mul", [self._apply("Sum", turned), share])

    def finish(
        self, logits: str, n_views: int, n_classes: int, size_px: int, class_maps: str | None = None
    ) -> onnx.ModelProto:
        """From (V*N, C) to the mean over the views, `logits` (N, C), and the whole as a model.

        `class_maps` (N, C, h, w), where there are any, become the output `activation_map`.
        """
        if n_views > 1:
            shape = self._constant("by_view", np.array([n_views, -1, n_classes], np.int64))
            by_view = self._apply("Reshape", [logits, shape])
            logits = self._apply(
                "ReduceMean", [by_view, self._constant("view_axis", np.array([0], np.int64))], keepdims=0
            )
        self._nodes.append(helper.make_node("Identity", [logits], ["logits"], name="logits"))
        outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", n_classes])]
        if class_maps is not None:
            self._nodes.append(
                helper.make_node("Identity", [class_maps], [ACTIVATION_MAP], name=ACTIVATION_MAP)
            )
            outputs.append(
                helper.make_tensor_value_info(ACTIVATION_MAP, TensorProto.FLOAT, ["N", n_classes, "h", "w"])
            )
        graph = helper.make_graph(
            self._nodes,
            "lightbox",
            [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", size_px, size_px, 3])],
            outputs,
            list(self._tensors.values()),
        )
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(
            graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="lightbox"
        )

    def _view(self, images: str, transposed: bool, reversed_axes: tuple[int, ...]) -> str:
        return self._reversed(self._transposed(images) if transposed else images, reversed_axes)

    def _turned_back(self, maps: str, transposed: bool, reversed_axes: tuple[int, ...]) -> str:
        maps = self._reversed(maps, reversed_axes)
        return self._transposed(maps) if transposed else maps

    def _transposed(self, images: str) -> str:
        return self._apply("Transpose", [images], perm=[0, 1, 3, 2])

    def _reversed(self, images: str, reversed_axes: tuple[int, ...]) -> str:
        if not reversed_axes:
            return images
        n = len(reversed_axes)
        suffix = "".join(map(str, reversed_axes))
        last = self._constant(f"last_{n}", np.full(n, -1, np.int64))
        before_first = self._constant(f"before_first_{n}", np.full(n, np.iinfo(np.int64).min, np.int64))
        axes = self._constant(f"axes_{suffix}", np.array(reversed_axes, np.int64))
        return self._apply("Slice", [images, last, before_first, axes, last])

    def _tensor(self, architecture: Architecture, name: str, prefix: str, weight: Weight) -> str:
        if not name:  # an optional input that is not given
            return ""
        if name in architecture.weights:
            tensor = weight(name)
        else:
            tensor = TensorProto()
            tensor.CopyFrom(architecture.constants[name])
            tensor.name = f"{prefix}/{name}"
        self._tensors.setdefault(tensor.name, tensor)
        return tensor.name

    def _constant(self, name: str, value: Any) -> str:
        self._tensors.setdefault(name, numpy_helper.from_array(np.asarray(value), name))
        return name

    def _apply(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        name = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name
