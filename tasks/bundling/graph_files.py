"""The graphs of a bundle as files: each architecture traced once, then stitched graph after graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from onnx import TensorProto
from torch import nn

from tasks.bundling.bundle_weights import AVERAGE, BundleWeights, Family
from tasks.bundling.graph import Architecture, GraphBuilder, has_class_maps, structure, trace
from tasks.errors import ExportError
from tasks.images.settings import Preprocessing
from tasks.models.manifest import GRAPH_FILE


@dataclass(frozen=True)
class NetworkKind:
    """What a network is and what it wants: `mean` and `std` are of the RGB channels on the 0..1 scale."""

    backbone: str
    preprocessing: Preprocessing
    test_views: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


class GraphFiles:
    """Saves the weights, traces each architecture among the networks once, then stitches graph after graph.

    `outer` names the graphs that read their weights from the file beside them.
    """

    def __init__(
        self,
        folder: Path,
        n_classes: int,
        families: Mapping[Family, NetworkKind],
        embed_limit_bytes: int,
    ) -> None:
        self._folder, self._n_classes, self._embed_limit_bytes = folder, n_classes, embed_limit_bytes
        self._kinds = families
        self._families = {name: family for family in families for name in family.networks}
        self._weights = BundleWeights(list(families))
        self._weights.save(folder)
        self.outer: set[str] = set()
        traced: dict[tuple[str, int], Architecture] = {}
        self._architectures: dict[Family, Architecture] = {}
        for family, kind in families.items():
            network = next(iter(family.networks.values()))
            key = (structure(network), kind.preprocessing.size_px)
            if key not in traced:
                traced[key] = _traced(cast("nn.Module", network), kind)
            self._architectures[family] = traced[key]

    def write(self, file: str, parts: Sequence[str]) -> None:
        """One graph: the mean of the parts' logits and, where all have any, class maps, over the test views.

        The parts' images are prepared, normalised and viewed alike.
        """
        if file != GRAPH_FILE or self._size_bytes(parts) > self._embed_limit_bytes:
            self.outer.add(file)
        kind = self._kinds[self._families[parts[0]]]
        builder = GraphBuilder()
        images = builder.views(builder.normalised(kind.mean, kind.std), kind.test_views)
        logits: list[str] = []
        class_maps: list[str] = []
        for family in dict.fromkeys(self._families[part] for part in parts):
            own = [part for part in parts if part in family.networks]
            self._add_family(builder, file, family, own, images, logits, class_maps)
        maps = builder.mean_of(class_maps) if len(class_maps) == len(logits) else None
        model = builder.finish(
            builder.mean_of(logits),
            len(kind.test_views),
            self._n_classes,
            kind.preprocessing.size_px,
            None if maps is None else builder.upright(maps, kind.test_views),
        )
        (self._folder / file).write_bytes(model.SerializeToString())

    def _add_family(
        self,
        builder: GraphBuilder,
        file: str,
        family: Family,
        parts: Sequence[str],
        images: str,
        logits: list[str],
        class_maps: list[str],
    ) -> None:
        """What the parts share once, then each; their outputs are appended to what there is."""

        def add(name: str, prefix: str, ends: tuple[int, int], start: str) -> str:
            def weight(key: str) -> TensorProto:
                return self._weight(file, family, name, prefix, key)

            return builder.piece(self._architectures[family], ends, start, prefix, weight)

        n_stages, first = family.n_stages, family.shared
        start = maps = images
        if first:
            start = maps = add(parts[0], family.trunk, (0, family.shared_stages), start)
        if first > n_stages:
            start = add(parts[0], family.trunk, (n_stages, first), start)
        one_head = len(parts) > 1 and family.heads_differ_only
        for name, prefix in [(parts[0], AVERAGE)] if one_head else [(part, part) for part in parts]:
            features = start
            if first < n_stages:
                features = maps = add(name, prefix, (first, n_stages), start)
            logits.append(add(name, prefix, (max(first, n_stages), -1), features))
            if has_class_maps(family.networks[name]):
                head = [
                    self._weight(file, family, name, prefix, f"head.{part}") for part in ("weight", "bias")
                ]
                class_maps.append(builder.class_maps(maps, *head))

    def _weight(self, file: str, family: Family, name: str, prefix: str, key: str) -> TensorProto:
        place = f"{AVERAGE}.{key}" if prefix == AVERAGE else family.place(name, key)
        return self._weights.outer(place) if file in self.outer else self._weights.embedded(place)

    def _size_bytes(self, parts: Sequence[str]) -> int:
        places = {
            self._families[part].place(part, key)
            for part in parts
            for key in self._architectures[self._families[part]].weights
        }
        return sum(self._weights.tensors[place].nbytes for place in places)


def _traced(network: nn.Module, kind: NetworkKind) -> Architecture:
    try:
        return trace(network, kind.preprocessing.size_px)
    except Exception as error:
        raise ExportError(
            f"the backbone {kind.backbone} cannot be exported to ONNX: {error}",
            cure="use another backbone, or report it with this message",
        ) from error
