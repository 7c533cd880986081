"""What the frozen stages say about random views, computed once and shared by all members.

Nothing here is fitted: the stages are as pretrained, and a view depends on its image alone. So members that hold
out different folds may share what is kept without learning anything of one another's images.
"""

import copy
import hashlib
import threading
from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks.training.augment import training_views, view_keys
from tasks.training.device import Compute
from tasks.training.network import Network
from tasks.training.transforms import NO_TRANSFORMS, RandomTransforms

AS_IT_IS: Final = -1
"""The number of the view that is the image itself."""


class Images(Protocol):
    """Prepared images by digest (see `tasks.images.image_cache`)."""

    def take(self, sha256s: Sequence[str]) -> NDArray[np.uint8]:
        """Uint8 (n, S, S, 3) RGB, in the order asked for."""
        ...


class ActivationCache:
    """Tensors by name, up to a size; what does not fit is not kept, and computed again. For many threads."""

    def __init__(self, max_bytes: int = 2 * 1024**3) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: dict[str, Tensor] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> Tensor | None:
        """What was kept under the name."""
        return self._kept.get(name)

    def keep(self, name: str, value: Tensor) -> None:
        """Keep a tensor if there is room."""
        with self._lock:
            size = value.numel() * value.element_size()
            if name not in self._kept and self._bytes + size <= self._max_bytes:
                self._kept[name] = value
                self._bytes += size


class Activations:
    """The output of a network's first stages for any view of any image; on request its features."""

    def __init__(
        self,
        network: Network,
        n_stages: int,
        *,
        images: Images,
        transforms: RandomTransforms,
        seed: int,
        compute: Compute,
        cache: ActivationCache,
        weights_name: str,
    ) -> None:
        self._images, self._transforms, self._seed = images, transforms, seed
        self._compute, self._cache = compute, cache
        self._first = _inference_copy(network.stages[:n_stages], compute)
        self._rest = _inference_copy(network.stages[n_stages:], compute)
        self._pool = _inference_copy(network.pool, compute)
        self._mean = torch.tensor(network.spec.mean, device=compute.device).reshape(1, 3, 1, 1) * 255
        self._std = torch.tensor(network.spec.std, device=compute.device).reshape(1, 3, 1, 1) * 255
        told = (
            f"{weights_name} {network.spec.name} {n_stages} {seed} {compute} {transforms.model_dump_json()}"
        )
        self._name = hashlib.sha256(told.encode()).hexdigest()

    @property
    def chunk(self) -> int:
        """Images that are computed at once."""
        return self._compute.chunk

    def maps(self, sha256s: Sequence[str], view: int) -> Tensor:
        """The activations (n, ...) on the device, in its precision, channels-last."""
        return self._taken("maps", sha256s, view)

    def features(self, sha256s: Sequence[str], view: int) -> Tensor:
        """The pretrained features, float32 (n, D), on the device."""
        return self._taken("features", sha256s, view)

    def _taken(self, what: str, sha256s: Sequence[str], view: int) -> Tensor:
        names = [f"{self._name}/{what}/{view}/{sha256}" for sha256 in sha256s]
        found = [self._cache.get(name) for name in names]
        missing = [index for index, value in enumerate(found) if value is None]
        for start in range(0, len(missing), self._compute.chunk):
            part = missing[start : start + self._compute.chunk]
            values = self._computed(what, [sha256s[index] for index in part], view)
            for index, value in zip(part, values, strict=True):
                found[index] = value
                self._cache.keep(names[index], value)
        device = self._compute.device
        taken = torch.stack([value.to(device) for value in found if value is not None])
        return taken.contiguous(memory_format=torch.channels_last) if taken.ndim == 4 else taken

    @torch.no_grad()
    def _computed(self, what: str, sha256s: Sequence[str], view: int) -> list[Tensor]:
        """One chunk, filled up to its full size: so a result does not depend on how many were asked for."""
        if what == "features":
            return list(self._features_of_maps(self._taken("maps", sha256s, view)).cpu())
        maps = self._filled(self.views(sha256s, view).to(self._compute.dtype))
        return [value.clone() for value in self._first(maps)[: len(sha256s)].cpu()]

    @torch.no_grad()
    def features_of(self, views: Tensor) -> Tensor:
        """Float32 (n, D) of normalised views (n, 3, S, S), n at most a chunk; nothing is kept."""
        maps = self._first(self._filled(views.to(self._compute.dtype)))
        return self._features_of_maps(maps)[: len(views)]

    def _features_of_maps(self, maps: Tensor) -> Tensor:
        features: Tensor = self._pool(self._rest(self._filled(maps))).float()
        return features[: len(maps)]

    def _filled(self, maps: Tensor) -> Tensor:
        """A chunk of full size, filled up with the last of what there is."""
        full = torch.cat([maps, maps[-1:].expand(self._compute.chunk - len(maps), *maps.shape[1:])])
        return full.contiguous(memory_format=torch.channels_last) if full.ndim == 4 else full

    def views(self, sha256s: Sequence[str], view: int) -> Tensor:
        """Normalised float32 (n, 3, S, S) on the device, channels-last."""
        pixels = torch.from_numpy(self._images.take(sha256s)).to(self._compute.device)
        keys = view_keys(sha256s, self._seed, view)
        transforms = NO_TRANSFORMS if view == AS_IT_IS else self._transforms
        values = (training_views(pixels, keys, transforms) - self._mean) / self._std
        return values.contiguous(memory_format=torch.channels_last)


def _inference_copy(module: nn.Module, compute: Compute) -> nn.Module:
    copied = copy.deepcopy(module).eval().requires_grad_(False)
    placed: nn.Module = copied.to(compute.device, compute.dtype).to(memory_format=torch.channels_last)
    return placed
