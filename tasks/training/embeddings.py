"""Features of images by a pretrained backbone, and small pictures, kept by digest so that only new images are computed.

They find near copies, so they must not depend on the batch, the run, the number of processors or their fast formats:
float32, in batches of one fixed size, each on one thread, of pixels that are squashed to the backbone's size and not
cropped. They are kept as float16, which moves a cosine by less than 0.001.
"""

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from tasks.copies.agreement import detail_picture
from tasks.copies.feature_scale import ContentFeatures
from tasks.copies.registration import DETAIL_SIDE
from tasks.errors import WorkspaceError
from tasks.images.decode import decoded, prepare
from tasks.images.settings import DecodeLimits, Preprocessing
from tasks.stores.layout import EMBEDDINGS
from tasks.stores.workspace import Workspace
from tasks.training.activations import Images
from tasks.training.backbones import BackboneName
from tasks.training.network import Network, fold_batch_norm, spec_of
from tasks.training.recipes import WeightsChoice
from tasks.training.weights import build
from tasks.work.pool import map_in_order
from tasks.work.progress import Progress, silent
from tasks.work.row_file import RowFile, Rows

BATCH: Final = 4
"""Images computed at once, always: float32 early stages run fastest in small batches, which fit the cache."""

DECODE_THREADS: Final = 4
"""Pictures decoded at once."""

SHARD: Final = 1024
"""Images in a file of the store; a killed run loses no finished file."""

FORMAT: Final = "3"
"""Changes when embeddings of the same image and backbone would."""


def embedding_preprocessing(backbone: BackboneName = "efficientnet_lite0") -> Preprocessing:
    """How `embed` wants its images: the whole picture, squashed to the backbone's own size."""
    return Preprocessing(size_px=spec_of(backbone).default_size_px, fit="squash", crop_to_content=False)


def made_by(backbone: BackboneName, weights_sha256: str | None) -> str:
    """All that the embeddings of an image depend on."""
    return f"{FORMAT} {backbone} {weights_sha256} {embedding_preprocessing(backbone).model_dump_json()}"


class WholePictures:
    """Pictures as the feature network wants them, decoded when they are asked for."""

    def __init__(self, paths: dict[str, str], read: Callable[[str], bytes], limits: DecodeLimits) -> None:
        self._paths, self._read, self._limits = paths, read, limits

    def take(self, sha256s: Sequence[str]) -> NDArray[np.uint8]:
        """Uint8 (n, S, S, 3) RGB, in the order asked for."""
        return np.stack(list(map_in_order(self._picture, sha256s, DECODE_THREADS)))

    def _picture(self, sha256: str) -> NDArray[np.uint8]:
        with decoded(self._read(self._paths[sha256]), self._limits) as image:
            return prepare(image.pixels, embedding_preprocessing())


def embed(
    workspace: Workspace,
    sha256s: Sequence[str],
    images: Images,
    *,
    gone: Sequence[str] = (),
    backbone: BackboneName = "efficientnet_lite0",
    weights: WeightsChoice | None = None,
    progress: Progress = silent,
) -> ContentFeatures:
    """Features, float16 (n, D), of images; each is computed at most once for a workspace.

    `images.take` must give pixels prepared by `embedding_preprocessing`; it is asked only for what is missing. Digests
    of `gone` images are added as far as their features were kept.

    Raises:
        WeightsUnavailable: as `build`. WorkspaceError: the workspace cannot be read or written.
    """
    network, record = build(backbone, 1, weights)
    store = EmbeddingStore(workspace, made_by(backbone, record.sha256))
    wanted = tuple(dict.fromkeys([*sha256s, *gone]))
    place = {sha256: i for i, sha256 in enumerate(wanted)}
    values = RowFile((len(wanted), network.spec.feature_dim), np.float16)
    held = store.fill("features", place, values)
    missing = [sha256 for sha256 in dict.fromkeys(sha256s) if not held[place[sha256]]]
    folded = fold_batch_norm(network).to(memory_format=torch.channels_last)
    for start in range(0, len(missing), SHARD):
        part = missing[start : start + SHARD]
        features = np.empty((len(part), network.spec.feature_dim), np.float16)
        pictures = np.empty((len(part), DETAIL_SIDE, DETAIL_SIDE), np.uint8)
        batches = (images.take(part[first : first + BATCH]) for first in range(0, len(part), BATCH))
        done = 0
        for found, small in _computed(folded, batches):
            features[done : done + len(found)], pictures[done : done + len(found)] = found, small
            done += len(found)
            progress(start + done, len(missing), "images embedded")
        store.put(part, {"features": features, "picture": pictures})
        values[np.array([place[sha256] for sha256 in part])] = features
    held[[place[sha256] for sha256 in missing]] = True
    names = tuple(sha256 for sha256 in wanted if held[place[sha256]])
    return ContentFeatures(
        names, values if held.all() else values.only(np.flatnonzero(held)), store.pictures, store.version
    )


Computed = tuple[NDArray[np.float32], NDArray[np.uint8]]
"""Features (n, D) and small pictures (n, DETAIL_SIDE, DETAIL_SIDE) of a batch."""


def _computed(network: Network, batches: Iterator[NDArray[np.uint8]]) -> Iterator[Computed]:
    """Each batch on one thread, and as many batches at once as torch has threads.

    Threads that share a batch wait for one another at every layer, for long where other programs run, too.
    """

    def computed(pixels: NDArray[np.uint8]) -> Computed:
        torch.set_num_threads(1)  # OpenMP keeps this for each thread
        return _features(network, pixels), np.stack([detail_picture(picture) for picture in pixels])

    threads = torch.get_num_threads()
    try:
        yield from map_in_order(computed, batches, threads)
    finally:
        torch.set_num_threads(threads)


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


class EmbeddingStore:
    """Parquet files of digests, features and small pictures, by all that made them; a damaged one is removed."""

    def __init__(self, workspace: Workspace, made: str) -> None:
        self.version = hashlib.sha256(made.encode()).hexdigest()[:32]
        self._workspace, self._folder = workspace, EMBEDDINGS.folder(features=self.version)

    def columns(self, name: str) -> Iterator[tuple[list[str], NDArray[np.uint8]]]:
        """Digests of each file, and the bytes of one column, uint8 (n, bytes a row)."""
        for path in self._workspace.list(self._folder):
            try:
                table = pq.read_table(io.BytesIO(self._workspace.read(path)), columns=["sha256", name])
            except (pa.ArrowInvalid, OSError):
                self._workspace.delete(path)  # what it held is computed again
                continue
            digests = table["sha256"].to_pylist()
            rows = table[name].combine_chunks()
            data = np.frombuffer(rows.buffers()[1], dtype=np.uint8)
            yield digests, data[: len(digests) * rows.type.byte_width].reshape(len(digests), -1)

    def fill(self, name: str, place: Mapping[str, int], rows: Rows) -> NDArray[np.bool_]:
        """Put what is kept of one column into the rows (n, ...) of its digests; which rows were filled, bool (n,)."""
        held = np.zeros(len(rows), dtype=np.bool_)
        for digests, column in self.columns(name):
            places = np.array([place.get(digest, -1) for digest in digests], dtype=np.int64)
            known = places >= 0
            rows[places[known]] = column.view(rows.dtype).reshape(-1, *rows.shape[1:])[known]
            held[places[known]] = True
        return held

    def pictures(self, sha256s: Sequence[str]) -> RowFile:
        """Uint8 (n, DETAIL_SIDE, DETAIL_SIDE), in the order asked for.

        Raises:
            WorkspaceError: a file of the store was lost meanwhile.
        """
        found = RowFile((len(sha256s), DETAIL_SIDE, DETAIL_SIDE), np.uint8)
        held = self.fill("picture", {sha256: i for i, sha256 in enumerate(sha256s)}, found)
        if not held.all():
            raise WorkspaceError(
                f"{self._workspace.uri(self._folder)} lost {int((~held).sum())} images while it was read",
                cure="run again: what is missing is computed again",
            )
        return found

    def put(self, sha256s: Sequence[str], columns: Mapping[str, NDArray[np.generic]]) -> None:
        """Keep what belongs to n images, each column (n, ...), as one file."""
        table = pa.table(
            {"sha256": pa.array(sha256s), **{name: _fixed(rows) for name, rows in columns.items()}}
        )
        data = io.BytesIO()
        pq.write_table(table, data, use_dictionary=False)
        name = hashlib.sha256("".join(sha256s).encode()).hexdigest()[:32]
        self._workspace.write(EMBEDDINGS.path(features=self.version, digest=name), data.getvalue())


def _fixed(rows: NDArray[np.generic]) -> pa.Array:
    """Each row's bytes as one value of a fixed length."""
    data = np.ascontiguousarray(rows).tobytes()
    return pa.Array.from_buffers(pa.binary(len(data) // len(rows)), len(rows), [None, pa.py_buffer(data)])
