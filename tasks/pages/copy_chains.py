"""Near copies in an order in which people can check them: each picture beside one that it is a copy of."""

from collections import defaultdict, deque
from typing import NamedTuple

import pandas as pd

Chain = list[tuple[str, str]]
"""The files of a group, as digest and note; each but the first is a copy of one before it, which the note names."""


class _Link(NamedTuple):
    nearness: float
    one: str
    other: str


def copy_chains(pairs: pd.DataFrame) -> list[Chain]:
    """Groups of copies, the least alike first, since those are the doubtful ones.

    `pairs` has sha256_a, sha256_b, path_a, path_b, by ("pixels", "hash", "features" or "key"), hash_distance (bits of
    256), agreement (at most 1, missing where unknown) and asked. Of the pairs that join a group, as few as needed are
    kept, the surest ones (a maximum spanning tree); the weakest of these stands first. Pairs joined by a given key
    alone are no copies and are left out, and so are those that are asked about.
    """
    copies = pairs[(pairs["by"] != "key") & ~pairs["asked"]]
    words = {
        frozenset((row.sha256_a, row.sha256_b)): (row.path_a, row.path_b, row.sha256_a, _reason(row))
        for row in copies.itertuples(index=False)
    }
    links = sorted(
        (
            _Link(_nearness(row), str(row.sha256_a), str(row.sha256_b))
            for row in copies.itertuples(index=False)
        ),
        key=lambda link: (-link.nearness, link.one, link.other),
    )
    trees = sorted(_trees(links), key=lambda tree: tree[-1])
    chains = []
    for tree in trees:
        chain: Chain = [(tree[-1].one, "")]
        for link, newer in _outwards(tree):
            older = link.one if newer == link.other else link.other
            path_a, path_b, sha256_a, reason = words[frozenset((link.one, link.other))]
            chain.append((newer, reason.format(path_a if older == sha256_a else path_b)))
        chains.append(chain)
    return chains


def copy_questions(pairs: pd.DataFrame) -> list[Chain]:
    """Pairs that a person must judge, the likeliest copies first; columns as of `copy_chains`."""
    asked = pairs[pairs["asked"]]
    rows = sorted(
        asked.itertuples(index=False), key=lambda row: (-_nearness(row), row.sha256_a, row.sha256_b)
    )
    return [[(str(row.sha256_a), ""), (str(row.sha256_b), _reason(row).format(row.path_a))] for row in rows]


def _trees(links: list[_Link]) -> list[list[_Link]]:
    """Kruskal's maximum spanning forest, each tree with its weakest link last."""
    root: dict[str, str] = {}

    def find(node: str) -> str:
        root.setdefault(node, node)
        while root[node] != node:
            root[node] = root[root[node]]
            node = root[node]
        return node

    kept = []
    for link in links:
        one, other = find(link.one), find(link.other)
        if one != other:
            root[one] = other
            kept.append(link)
    trees: dict[str, list[_Link]] = defaultdict(list)
    for link in kept:
        trees[find(link.one)].append(link)
    return list(trees.values())


def _outwards(tree: list[_Link]) -> list[tuple[_Link, str]]:
    """The links of a tree from its weakest one outwards, each with the end that is new."""
    beside: dict[str, list[_Link]] = defaultdict(list)
    for link in reversed(tree):
        beside[link.one].append(link)
        beside[link.other].append(link)
    start = tree[-1]
    found, seen = [(start, start.other)], {start.one, start.other}
    waiting = deque([start.one, start.other])
    while waiting:
        node = waiting.popleft()
        for link in beside[node]:
            newer = link.other if link.one == node else link.one
            if newer not in seen:
                seen.add(newer)
                found.append((link, newer))
                waiting.append(newer)
    return found


def _nearness(row: tuple[object, ...]) -> float:
    """Above 1 for equal pixels, else how surely they agree; below 0 where only hashes say so."""
    facts = row._asdict()  # type: ignore[attr-defined]
    if facts["by"] == "pixels":
        return 1.5
    return -facts["hash_distance"] / 256 if pd.isna(facts["agreement"]) else float(facts["agreement"])


def _reason(row: tuple[object, ...]) -> str:
    facts = row._asdict()  # type: ignore[attr-defined]
    if facts["by"] == "pixels":
        return "the same pixels as {}"
    if pd.isna(facts["agreement"]):
        return f"like {{}}: {facts['hash_distance']} of 256 bits of their perceptual hashes differ"
    return f"like {{}}: laid over it, block by block, at least {100 * facts['agreement']:.0f} % of the detail agrees"
