"""All images that labelling looks at: of the store, labelled or not, and those that the endpoint's log kept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.copies.duplicates import group_by_pairs, near_pairs_by_hash, pairs_by_key
from tasks.copies.feature_scale import FeatureScale
from tasks.copies.settings import NearCopyRule
from tasks.data.inspection import ImageFile, Inspection, inspected_files
from tasks.data.labels import GIVEN
from tasks.errors import WeightsUnavailable
from tasks.images.settings import DecodeLimits
from tasks.stores.workspace import Workspace
from tasks.training.embeddings import WholePictures
from tasks.work.progress import Progress, silent

UNLIKE_QUANTILE: Final = 0.01
"""An image is unlike the others when the one most similar to it is less similar than is usual among them: below this
quantile of what each of them has."""


@dataclass(frozen=True)
class Pool:
    """All that can be looked at: usable contents with paths, labels that came with them, copies, and how to read."""

    sha256s: tuple[str, ...]
    paths: Mapping[str, str]
    given: Mapping[str, frozenset[str]]
    found: Mapping[str, Inspection]
    groups: NDArray[np.int64]
    in_store: frozenset[str]
    read: Callable[[str], bytes]

    def same_pixels(self) -> list[frozenset[str]]:
        """The contents that show exactly the same."""
        groups: dict[str, list[str]] = {}
        for sha256 in self.sha256s:
            groups.setdefault(self.found[sha256].pixel_sha256, []).append(sha256)
        return [frozenset(group) for group in groups.values() if len(group) > 1]


def gathered(
    workspace: Workspace,
    frame: pd.DataFrame,
    store_read: Callable[[str], bytes],
    strangers: Mapping[str, bytes],
    progress: Progress = silent,
) -> Pool:
    """Look at every content of a listing, labelled or not, and at `strangers`, images of the log by their paths."""

    def read(path: str) -> bytes:
        data = strangers.get(path)
        return store_read(path) if data is None else data

    given: dict[str, set[str]] = {}
    paths: dict[str, str] = {}
    sizes: dict[str, int] = {}
    for path, sha256, size_bytes, label in frame[["path", "sha256", "size_bytes", GIVEN]].itertuples(
        index=False
    ):
        given.setdefault(sha256, set())
        paths.setdefault(sha256, path)
        sizes[sha256] = int(size_bytes)
        if isinstance(label, str):
            given[sha256].add(label)
    for path, data in strangers.items():
        sha256 = path.rpartition("/")[2]
        given[sha256], paths[sha256], sizes[sha256] = set(), path, len(data)
    # The label is of no consequence here: it makes the unlabelled ones be looked at, too.
    files = [ImageFile(path, sha256, sizes[sha256], "") for sha256, path in paths.items()]
    inspected = inspected_files(workspace, files, read, DecodeLimits(), progress)
    sha256s = inspected.sha256s
    found = {sha: one for sha in sha256s if isinstance(one := inspected.found[sha], Inspection)}
    hashes = np.array([list(bytes.fromhex(found[sha].dhash)) for sha in sha256s], dtype=np.uint8).reshape(
        -1, 32
    )
    of_patient = {
        sha256: group
        for sha256, group in frame[["sha256", "group"]].itertuples(index=False)
        if isinstance(group, str)
    }
    keys = [
        (f"pixels {found[sha].pixel_sha256}", *((f"group {of_patient[sha]}",) if sha in of_patient else ()))
        for sha in sha256s
    ]
    groups = group_by_pairs(
        len(sha256s), near_pairs_by_hash(hashes, NearCopyRule().max_hash_distance), pairs_by_key(keys)
    )
    labels = {sha256: frozenset(names) for sha256, names in given.items()}
    return Pool(sha256s, paths, labels, found, groups, frozenset(frame["sha256"]), read)


def pool_features(
    workspace: Workspace, pool: Pool, *, assist: bool, progress: Progress = silent
) -> tuple[NDArray[np.float32] | None, str]:
    """Features (n, d) of all contents, or None and why."""
    if not assist:
        return None, "assistance is switched off"
    if not pool.sha256s:
        return None, "there is no usable image"
    from tasks.training.embeddings import embed

    pictures = WholePictures(dict(pool.paths), pool.read, DecodeLimits())
    try:
        found = embed(workspace, pool.sha256s, pictures, progress=progress)
    except WeightsUnavailable as error:
        return None, f"no pretrained weights: {error.message}"
    place = {sha256: row for row, sha256 in enumerate(found.sha256s)}
    rows = np.array([place[sha256] for sha256 in pool.sha256s], dtype=np.int64)
    return np.asarray(found.values[rows], dtype=np.float32), ""


def unlike_the_store(pool: Pool, features: NDArray[np.float32] | None) -> list[str]:
    """Images of the log that are less like any image of the store than those are like each other."""
    if features is None:
        return []
    from_log = np.array([sha256 not in pool.in_store for sha256 in pool.sha256s])
    store = features[~from_log]
    if len(store) < 2 or not from_log.any():
        return []
    scale = FeatureScale.of(store)
    ours, theirs = scale.unit(store), scale.unit(features[from_log])
    usual = []
    for start in range(0, len(ours), 1024):
        similar = ours[start : start + 1024] @ ours.T
        similar[np.arange(len(similar)), start + np.arange(len(similar))] = -1.0
        usual.append(similar.max(axis=1))
    limit = np.quantile(np.concatenate(usual), UNLIKE_QUANTILE)
    nearest = (theirs @ ours.T).max(axis=1)
    names = np.array(pool.sha256s)[from_log]
    return [str(name) for name in names[nearest < limit]]
