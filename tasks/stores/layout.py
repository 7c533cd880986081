"""Where each kind of file stands in a workspace: how its path is written, and how it is known again by it.

`workspace.py` is about how files are kept, this about which: no other module spells a path below a workspace.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

Kind = Literal[
    "stage results",
    "aliases",
    "models",
    "version claims",
    "runs",
    "search choices",
    "notices",
    "listings",
    "fold ledger",
    "feature scale",
    "copy pairs",
    "catalogues",
    "image cache",
    "embeddings",
    "inspections",
    "leftovers",
    "labels",
    "endpoint log",
    "erasures",
    "pseudonym key",
    "pipelines",
    "other",
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
"""In the order in which a pruning removes them: first what leads to the others."""

ROWS_DIGITS: Final = 16
"""So many digits of the digest of a catalogue's rows name its folder."""

_FIELD: Final = re.compile(r"\{(\w+)\}")
_SHAPES: Final = {
    "file": ".+",
    "version": r"v[1-9]\d*",
    "rows": f"[0-9a-f]{{{ROWS_DIGITS}}}",
    "number": r"\d+",
}
"""What a field of a path looks like, where it is not just a name."""


@dataclass(frozen=True)
class Place:
    """Where a file belongs: `item` is what stays or goes as one, `name` the data set or model (or empty).

    `part` is the version of a model, the run, the digest of a catalogue or the folder of an image cache.
    """

    kind: Kind
    item: str = ""
    name: str = ""
    part: str = ""


class PathKind:
    """One kind of path, such as `runs/{run}/{file}`: its builder and its pattern.

    `item` is the beginning that all paths which stay or go as one share, `part` what `Place` has as such.
    """

    def __init__(self, kind: Kind, text: str, *, item: str = "", part: str = "") -> None:
        self.kind, self.text = kind, text
        self._item, self._part = item or text, part
        plain, names = _FIELD.split(text)[::2], _FIELD.findall(text)
        shapes = [f"(?P<{name}>{_SHAPES.get(name, '[^/]+')})" for name in names]
        pieces = [re.escape(piece) for piece in plain]
        self._pattern = re.compile("".join(sum(zip(pieces, [*shapes, ""], strict=True), ())))

    def path(self, **fields: str) -> str:
        """The path of a file.

        Raises:
            ValueError: fields that make no such path.
        """
        path = self.text.format_map(fields) if fields.keys() == set(_FIELD.findall(self.text)) else ""
        if self.fields(path) != fields:
            raise ValueError(f"{fields} make no path {self.text}")
        return path

    def folder(self, **fields: str) -> str:
        """The folder that all paths with these first fields share."""
        names = _FIELD.findall(self.text)
        if list(fields) != names[: len(fields)] or len(fields) == len(names):
            raise ValueError(f"{list(fields)} name no folder of {self.text}")
        return self.text.partition(f"{{{names[len(fields)]}}}")[0].rpartition("/")[0].format_map(fields)

    def fields(self, path: str) -> Mapping[str, str] | None:
        """What stands in the fields of a path of this kind; None of another."""
        match = self._pattern.fullmatch(path)
        return match.groupdict() if match else None

    def place(self, path: str) -> Place | None:
        """Where a file of this kind belongs; None of another."""
        fields = self.fields(path)
        if fields is None:
            return None
        item, part = self._item.format_map(fields), self._part.format_map(fields)
        return Place(self.kind, item, fields.get("name", ""), part)


STAGE_RESULT: Final = PathKind("stage results", "stages/{stage}/{digest}.json")
"""What a stage answered, under the digest of its inputs."""
STAGE_USE: Final = PathKind("runs", "runs/{run}/stages/{use}.json", item="runs/{run}", part="{run}")
"""What a stage of a run stands on."""
NODE_FILE: Final = PathKind("runs", "runs/{run}/nodes/{node}/{file}", item="runs/{run}", part="{run}")
"""A file of one node of a run that holds several trainings."""
RUN_FILE: Final = PathKind("runs", "runs/{run}/{file}", item="runs/{run}", part="{run}")
"""Any other file of a run."""
SEARCH_CHOICES: Final = PathKind("search choices", "searches/{name}/{search}.json")
"""What a search chose for each fold, for the next one to begin with."""
NOTICE: Final = PathKind("notices", "notices/{name}/{flow_run}/{event}.json")
"""That an event was told, so that a retry does not tell it again."""

ALIASES: Final = PathKind("aliases", "models/{name}/aliases/{number}.json")
"""Champion and challenger with their history."""
VERSION_CLAIM: Final = PathKind("version claims", "models/{name}/claims/{version}.json")
"""Who took a version's number; a number is not given twice, so that claims stay."""
VERSION_FILE: Final = PathKind(
    "models", "models/{name}/{version}/{file}", item="models/{name}/{version}", part="{version}"
)
"""A file of a published bundle."""

LISTING: Final = PathKind("listings", "datasets/{name}/listings/{digest}.parquet")
"""The images of a store at one moment."""
FOLD_LEDGER: Final = PathKind("fold ledger", "datasets/{name}/folds/{number}.json")
"""Which fold each content has for ever."""
FEATURE_SCALE: Final = PathKind("feature scale", "datasets/{name}/copies/scale-{digest}.npz")
"""How alike unrelated images of a data set are; made once, since copies are told by it."""
COPY_PAIRS: Final = PathKind("copy pairs", "datasets/{name}/copies/pairs-{digest}.npz")
"""The pairs of copies that a rule found, so that only what is new is compared."""
CATALOGUE_FILE: Final = PathKind(
    "catalogues", "datasets/{name}/{rows}/{file}", item="datasets/{name}/{rows}", part="{rows}"
)
"""The checked data set: its rows, rejects, pairs of copies, summary and audit."""

IMAGE_SHARD: Final = PathKind(
    "image cache",
    "cache/images/{key}/{shard}.{ending}",
    item="cache/images/{key}/{shard}",
    part="cache/images/{key}",
)
"""Decoded images: pixels (`npy`) and the list of whose they are (`json`)."""
EMBEDDINGS: Final = PathKind("embeddings", "cache/embeddings/{features}/{digest}.parquet")
"""Deep features by content."""
INSPECTIONS: Final = PathKind("inspections", "cache/inspections/{limits}/{digest}.parquet")
"""What was found by looking at a content."""

LABEL_DECISIONS: Final = PathKind("labels", "labels/{name}/{digest}.jsonl", item="labels/{name}")
"""What people said of images, as it came in."""
LABEL_QUEUE: Final = PathKind("labels", "labels/{name}/queue.parquet", item="labels/{name}")
"""What is to be asked next."""
LABELLING: Final = PathKind("labels", "labels/{name}/project/{number}.json", item="labels/{name}")
"""The state of a labelling."""
ENDPOINT_LOG: Final = PathKind(
    "endpoint log", "endpoint-log/{name}/{date}/{hour}.parquet", item="endpoint-log/{name}"
)
"""What the endpoint judged within an hour."""
ERASURE: Final = PathKind("erasures", "erasures/{erasure}.json")
"""That images were forgotten: when, by whom, and under which pseudonyms they are known again."""
PSEUDONYM_KEY: Final = PathKind("pseudonym key", "private/pseudonyms.key")
"""The key under which patients and forgotten images are named."""
MARK: Final = ".lightbox"
"""A hidden file at the root of a workspace, and of a place for scores: what they hold is no image of a store above."""
SCORES_PARQUET, SCORES_CSV, SCORES_CLAIM = "scores.parquet", "scores.csv", "scoring.json"
SCORES_PART: Final = re.compile(r"parts/[0-9a-f]{32}/[0-9a-f]{32}\.parquet")
"""What a place for scores holds."""

PIPELINE: Final = PathKind("pipelines", "pipelines/{name}/{number}.yaml", item="pipelines/{name}")
"""A version of a pipeline that people drew."""
LEFTOVER: Final = PathKind("leftovers", ".tmp/{write}")
"""What a killed writer left half-written."""

PATH_KINDS: Final = (
    *(STAGE_RESULT, STAGE_USE, NODE_FILE, RUN_FILE, SEARCH_CHOICES, NOTICE),
    *(ALIASES, VERSION_CLAIM, VERSION_FILE, LISTING, FOLD_LEDGER, FEATURE_SCALE, COPY_PAIRS, CATALOGUE_FILE),
    *(IMAGE_SHARD, EMBEDDINGS, INSPECTIONS),
    *(LABEL_DECISIONS, LABEL_QUEUE, LABELLING, ENDPOINT_LOG, PIPELINE, ERASURE, PSEUDONYM_KEY, LEFTOVER),
)
"""All of them, the narrower before the wider."""


def place_of(path: str) -> Place:
    """What a file is."""
    places = (kind.place(path) for kind in PATH_KINDS)
    return next((place for place in places if place is not None), Place("other"))


def is_own(path: str) -> bool:
    """Whether a file below a mark was written here, rather than put there by somebody."""
    return (
        path in (SCORES_PARQUET, SCORES_CSV, SCORES_CLAIM)
        or SCORES_PART.fullmatch(path) is not None
        or place_of(path).kind != "other"
    )


CATALOGUE_ROWS: Final = "catalogue.parquet"
"""The file of a catalogue that has a row an image; another catalogue of the same rows may stand beside it."""


def catalogue_path(name: str, digest_of_rows: str, file: str) -> str:
    """The path of a file of a catalogue."""
    return CATALOGUE_FILE.path(name=name, rows=digest_of_rows[:ROWS_DIGITS], file=file)


def is_catalogue_table(path: str) -> bool:
    """Whether a file has a row for each image of a catalogue."""
    fields = CATALOGUE_FILE.fields(path)
    return fields is not None and re.fullmatch(r"catalogue(-[0-9a-f]+)?\.parquet", fields["file"]) is not None


def run_folder(run: str, node: str | None) -> str:
    """The folder of a run, or of one node of it."""
    return RUN_FILE.folder(run=run) if node is None else NODE_FILE.folder(run=run, node=node)


def run_of_use(path: str) -> str | None:
    """The run whose use of a stage a file tells, if it is such a file."""
    fields = STAGE_USE.fields(path)
    return fields["run"] if fields else None


def is_bulky(path: str) -> bool:
    """Whether a file of a run stands in the registry too, or can be had again by training."""
    fields = NODE_FILE.fields(path) or RUN_FILE.fields(path)
    return fields is not None and (
        fields["file"].startswith("bundle/") or fields["file"].endswith(".safetensors")
    )


def turn(path: str) -> int:
    """When a file of an item goes: what says that the rest is whole first, what says whose the rest is last."""
    if run_of_use(path) is not None:
        return 2
    return 0 if path.endswith(".json") else 1
