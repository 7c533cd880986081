"""Where a workspace names an image: which images a request means, and what else is known of them."""

import hashlib
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data.folds import FoldLedger
from tasks.data.patient_keys import PatientKeys
from tasks.erasure.records import Forgotten
from tasks.erasure.rewriting import UNREAD, digests_in
from tasks.errors import WorkspaceError
from tasks.stores.layout import FOLD_LEDGER, VERSION_FILE, place_of
from tasks.stores.workspace import VersionedDocument, Workspace

_NAMED = ("path", "sha256")
_PIXELS = ("sha256", "pixel_sha256")
_GROUPED = ("sha256", "group")


@dataclass
class Traces:
    """What a workspace says of its images.

    `paths` are those of each content in its store, `pixels` the digest of its pixels, `near` the contents of its group
    of copies; `learnt` the model versions that were trained on it.
    """

    files: list[str] = field(default_factory=list)
    digests: set[str] = field(default_factory=set)
    paths: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    pixels: dict[str, str] = field(default_factory=dict)
    near: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    groups: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    learnt: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def with_equal_pixels(self, sha256s: Iterable[str]) -> frozenset[str]:
        """These contents and all that show exactly the same."""
        wanted = set(sha256s)
        pixels = {self.pixels[sha256] for sha256 in wanted if sha256 in self.pixels}
        return frozenset(wanted | {sha256 for sha256, found in self.pixels.items() if found in pixels})

    def own_paths(self, sha256s: frozenset[str]) -> frozenset[str]:
        """Paths that no other content ever had."""
        own = {path for sha256 in sha256s for path in self.paths.get(sha256, ())}
        others = {path for sha256, paths in self.paths.items() if sha256 not in sha256s for path in paths}
        return frozenset(own - others)


def traces_of(workspace: Workspace) -> Traces:
    """Read every file that can name an image.

    Raises:
        WorkspaceError: the workspace does not answer, or a file is damaged.
    """
    traces = Traces(files=workspace.list())
    for path in traces.files:
        if PurePosixPath(path).suffix in UNREAD:
            continue
        data = workspace.read(path)
        try:
            found = digests_in(path, data)
            traces.digests |= found
            if path.endswith(".parquet"):
                _read_table(traces, path, data)
        except (ValueError, pa.ArrowException) as error:
            raise WorkspaceError(
                f"{workspace.uri(path)} cannot be searched: {error}",
                cure="remove it, or put it back from a backup; what a run needs is made again",
            ) from error
        if VERSION_FILE.fields(path) and path.endswith("training_images.json"):
            place = place_of(path)
            for sha256 in found:
                traces.learnt[sha256].add(f"{place.name} {place.part}")
    _read_ledgers(workspace, traces)
    return traces


def contents_of_group(workspace: Workspace, traces: Traces, name: str, group: str) -> frozenset[str]:
    """The contents that were ever given with a group key, as it stood in the manifest."""
    keys = PatientKeys(workspace)
    spellings = (keys.of(group), keys.as_written(group), group)
    return frozenset().union(*(traces.groups.get((name, key), set()) for key in spellings))


def forgotten_before(workspace: Workspace, traces: Traces) -> frozenset[str]:
    """Contents that a killed erasure left, or that a backup brought back."""
    return Forgotten(workspace).among(traces.digests)


def _read_table(traces: Traces, path: str, data: bytes) -> None:
    file = pq.ParquetFile(io.BytesIO(data))
    there = set(file.schema_arrow.names)
    name = place_of(path).name
    for columns in (_NAMED, _PIXELS, _GROUPED):
        if there >= set(columns):
            for first, second in _pairs(file, columns):
                if columns == _NAMED:
                    traces.paths[second].add(first)
                elif columns == _PIXELS:
                    traces.pixels[first] = second
                elif "/listings/" in path:
                    traces.groups[name, second].add(first)


def _pairs(file: pq.ParquetFile, columns: tuple[str, str]) -> Iterator[tuple[str, str]]:
    table = file.read(columns=list(columns))
    rows = zip(table[columns[0]].to_pylist(), table[columns[1]].to_pylist(), strict=True)
    return ((first, second) for first, second in rows if first and second)


def _read_ledgers(workspace: Workspace, traces: Traces) -> None:
    for name in sorted({fields["name"] for fields in map(FOLD_LEDGER.fields, traces.files) if fields}):
        data = VersionedDocument(workspace, FOLD_LEDGER.folder(name=name)).read()[1]
        if data is None:
            continue
        members: dict[str, set[str]] = defaultdict(set)
        for sha256, entry in FoldLedger.parse(data, PatientKeys(workspace)).entries.items():
            traces.pixels[sha256] = entry.pixel_sha256
            members[entry.group].add(sha256)
            for key in entry.keys:
                traces.groups[name, key].add(sha256)
        for group in members.values():
            for sha256 in group:
                traces.near[sha256] |= group - {sha256}


def digest(data: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(data).hexdigest()
