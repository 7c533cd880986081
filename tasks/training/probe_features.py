"""The features that probes of a search learn from, kept by digest: data that grow cost only what is new."""

import time
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.stores.workspace import Workspace
from tasks.training.activations import AS_IT_IS, ActivationCache, Activations, Images
from tasks.training.device import compute_on
from tasks.training.embeddings import SHARD, EmbeddingStore
from tasks.training.network import fold_batch_norm
from tasks.training.recipes import Probe, WeightsChoice
from tasks.training.weights import build
from tasks.work.progress import Progress, silent

FORMAT: Final = "probe 1"
"""Changes when the features of the same image and recipe would."""

TIMED_BATCHES: Final = 3


def probe_features(
    workspace: Workspace,
    sha256s: Sequence[str],
    images: Images,
    recipe: Probe,
    *,
    device: str = "auto",
    progress: Progress = silent,
) -> NDArray[np.float16]:
    """Features (n, D) of images as they are, by the recipe's pretrained backbone.

    `images.take` must give pixels prepared as the recipe says; it is asked only for what was never computed in this
    workspace, in whatever precision.

    Raises:
        WeightsUnavailable, ConfigError: as `build`. WorkspaceError: the workspace cannot be read or written.
    """
    network, record = build(recipe.backbone, 1, recipe.weights, size_px=recipe.preprocessing.size_px)
    made = f"{FORMAT} {recipe.backbone} {record.sha256} {recipe.preprocessing.model_dump_json()}"
    store = EmbeddingStore(workspace, made)
    place = {sha256: row for row, sha256 in enumerate(sha256s)}
    values = np.empty((len(sha256s), network.spec.feature_dim), np.float16)
    held = store.fill("features", place, values)
    missing = [sha256 for sha256 in sha256s if not held[place[sha256]]]
    source = Activations(
        fold_batch_norm(network),
        0,
        images=images,
        transforms=recipe.transforms,
        seed=0,
        compute=compute_on(device),
        cache=ActivationCache(max_bytes=0),
        weights_name=made,
    )
    for start in range(0, len(missing), SHARD):
        part = missing[start : start + SHARD]
        found = np.empty((len(part), network.spec.feature_dim), np.float16)
        step = source.chunk
        for first in range(0, len(part), step):
            some = part[first : first + step]
            found[first : first + len(some)] = source.features(some, AS_IT_IS).cpu().numpy()
            progress(start + first + len(some), len(missing), "images embedded")
        store.put(part, {"features": found})
        values[[place[sha256] for sha256 in part]] = found
    return values


def seconds_an_image(recipe: Probe, device: str = "auto") -> float:
    """What the backbone takes for an image on this machine: the quickest of a few small batches of noise."""
    network, _ = build(recipe.backbone, 1, WeightsChoice(source="none"), size_px=recipe.preprocessing.size_px)
    source = Activations(
        fold_batch_norm(network),
        0,
        images=_Noise(recipe.preprocessing.size_px),
        transforms=recipe.transforms,
        seed=0,
        compute=compute_on(device),
        cache=ActivationCache(max_bytes=0),
        weights_name="",
    )
    names = [str(number) for number in range(source.chunk)]
    taken = []
    for _ in range(1 + TIMED_BATCHES):
        started = time.perf_counter()
        source.features(names, AS_IT_IS).cpu()
        taken.append(time.perf_counter() - started)
    return min(taken[1:]) / len(names)


class _Noise:
    def __init__(self, size_px: int) -> None:
        self._size_px = size_px

    def take(self, sha256s: Sequence[str]) -> NDArray[np.uint8]:
        rng = np.random.default_rng(0)
        return rng.integers(0, 256, (len(sha256s), self._size_px, self._size_px, 3), dtype=np.uint8)
