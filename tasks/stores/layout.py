"""What each file of a workspace is, by its path; `workspace.py` is about how files are kept, this about which."""

import re
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal[
    "stage results",
    "models",
    "runs",
    "catalogues",
    "listings",
    "fold ledger",
    "aliases",
    "image cache",
    "embeddings",
    "leftovers",
    "labels",
    "endpoint log",
    "other",
]
_PATTERNS: Final[dict[Kind, re.Pattern[str]]] = {
    "stage results": re.compile(r"(?P<item>stages/[^/]+/[^/]+\.json)"),
    "aliases": re.compile(r"(?P<item>models/(?P<name>[^/]+)/aliases/\d+\.json)"),
    "models": re.compile(r"(?P<item>models/(?P<name>[^/]+)/(?P<part>v[1-9]\d*))/.+"),
    "runs": re.compile(r"(?P<item>runs/(?P<part>[^/]+))/.+"),
    "listings": re.compile(r"(?P<item>datasets/(?P<name>[^/]+)/listings/[^/]+\.parquet)"),
    "fold ledger": re.compile(r"(?P<item>datasets/(?P<name>[^/]+)/folds/\d+\.[a-z]+)"),
    "catalogues": re.compile(r"(?P<item>datasets/(?P<name>[^/]+)/(?P<part>[0-9a-f]{16}))/.+"),
    "image cache": re.compile(r"(?P<item>(?P<part>cache/images/[^/]+)/[^/]+)\.(?:json|npy)"),
    "embeddings": re.compile(r"(?P<item>cache/embeddings/[^/]+/[^/]+\.parquet)"),
    "leftovers": re.compile(r"(?P<item>\.tmp/[^/]+)"),
    "labels": re.compile(r"(?P<item>labels/(?P<name>[^/]+))/.+"),
    "endpoint log": re.compile(r"(?P<item>endpoint-log/(?P<name>[^/]+))/.+"),
}
_USE: Final = re.compile(r"runs/([^/]+)/stages/[^/]+\.json")
KINDS: Final[tuple[Kind, ...]] = tuple(_PATTERNS)
"""In the order in which a pruning removes them: first what leads to the others."""


@dataclass(frozen=True)
class Place:
    """Where a file belongs: `item` is what stays or goes as one, `name` the data set or model (or empty).

    `part` is the version of a model, the run, the digest of a catalogue or the folder of an image cache.
    """

    kind: Kind
    item: str = ""
    name: str = ""
    part: str = ""


def place_of(path: str) -> Place:
    """What a file is."""
    for kind, pattern in _PATTERNS.items():
        match = pattern.fullmatch(path)
        if match is not None:
            return Place(kind, **match.groupdict())
    return Place("other")


def run_of_use(path: str) -> str | None:
    """The run whose use of a stage a file tells, if it is such a file."""
    match = _USE.fullmatch(path)
    return match.group(1) if match else None


def turn(path: str) -> int:
    """When a file of an item goes: what says that the rest is whole first, what says whose the rest is last."""
    if run_of_use(path) is not None:
        return 2
    return 0 if path.endswith(".json") else 1
