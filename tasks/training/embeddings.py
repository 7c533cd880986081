"""Features of images by a pretrained backbone, kept by image digest so that only new images are computed.

They find near copies, so they must not depend on the batch, the run or the processor's fast formats: float32,
in batches of one fixed size, of pixels that are squashed to the backbone's size and not cropped.
"""

import hashlib
import io
from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from tasks.data.images import Preprocessing
from tasks.data.progress import Progress, silent
from tasks.data.workspace import Workspace
from tasks.training.activations import Images
from tasks.training.backbones import BackboneName
from tasks.training.network import Network, fold_batch_norm, spec_of
from tasks.training.recipes import WeightsChoice
from tasks.training.weights import build

BATCH: Final = 4
"""Images computed at once, always: float32 early stages run fastest in small batches, which fit the cache."""

SHARD: Final = 1024
"""Images in a file of the store; a killed run loses no finished file."""

FORMAT: Final = "1"
"""Changes when embeddings of the same image and backbone would."""


def embedding_preprocessing(backbone: BackboneName = "efficientnet_lite0") -> Preprocessing:
    """How `embed` wants its images: the whole picture, squashed to the backbone's own size."""
    return Preprocessing(size_px=spec_of(backbone).default_size_px, fit="squash", crop_to_content=False)


def embed(
    workspace: Workspace,
    sha256s: Sequence[str],
    images: Images,
    *,
    backbone: BackboneName = "efficientnet_lite0",
    weights: WeightsChoice | None = None,
    progress: Progress = silent,
) -> NDArray[np.float32]:
    """Features (n, D) of images in the order of their digests; each is computed at most once for a workspace.

    `images.take` must give pixels prepared by `embedding_preprocessing`; it is asked only for what is missing.

    Raises:
        WeightsUnavailable: as `build`. WorkspaceError: the workspace cannot be read or written.
    """
    network, record = build(backbone, 1, weights)
    told = f"{FORMAT} {backbone} {record.sha256} {embedding_preprocessing(backbone).model_dump_json()}"
    folder = f"cache/embeddings/{hashlib.sha256(told.encode()).hexdigest()[:32]}"
    known = _stored(workspace, folder, frozenset(sha256s))
    missing = [sha256 for sha256 in dict.fromkeys(sha256s) if sha256 not in known]
    folded = fold_batch_norm(network).to(memory_format=torch.channels_last)
    for start in range(0, len(missing), SHARD):
        part = missing[start : start + SHARD]
        values = np.empty((len(part), network.spec.feature_dim), np.float32)
        for first in range(0, len(part), BATCH):
            batch = part[first : first + BATCH]
            values[first : first + BATCH] = _features(folded, images.take(batch))
            progress(start + first + len(batch), len(missing), "images embedded")
        _store(workspace, folder, part, values)
        known.update(zip(part, values, strict=True))
    if not sha256s:
        return np.empty((0, network.spec.feature_dim), np.float32)
    return np.stack([known[sha256] for sha256 in sha256s])


@torch.no_grad()
def _features(network: Network, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Uint8 (n, S, S, 3) RGB, n at most BATCH → (n, D); the batch is filled up to its full size."""
    n = len(pixels)
    full = np.concatenate([pixels, np.repeat(pixels[-1:], BATCH - n, axis=0)])
    mean = torch.tensor(network.spec.mean).reshape(1, 3, 1, 1) * 255
    std = torch.tensor(network.spec.std).reshape(1, 3, 1, 1) * 255
    images = (torch.from_numpy(full).permute(0, 3, 1, 2).float() - mean) / std
    features: NDArray[np.float32] = network.features(images)[:n].numpy()
    return features


def _stored(workspace: Workspace, folder: str, wanted: frozenset[str]) -> dict[str, NDArray[np.float32]]:
    known: dict[str, NDArray[np.float32]] = {}
    for path in workspace.list(folder):
        try:
            table = pq.read_table(io.BytesIO(workspace.read(path)))
        except (pa.ArrowInvalid, OSError):
            workspace.delete(path)  # damaged: what it held is computed again
            continue
        digests = table["sha256"].to_pylist()
        values = table["features"].combine_chunks().flatten().to_numpy().reshape(len(digests), -1)
        known.update((digest, row) for digest, row in zip(digests, values, strict=True) if digest in wanted)
    return known


def _store(workspace: Workspace, folder: str, sha256s: Sequence[str], values: NDArray[np.float32]) -> None:
    lists = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
    data = io.BytesIO()
    pq.write_table(pa.table({"sha256": pa.array(sha256s), "features": lists}), data)
    name = hashlib.sha256("".join(sha256s).encode()).hexdigest()[:32]
    workspace.write(f"{folder}/{name}.parquet", data.getvalue())
