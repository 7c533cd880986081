"""Pairs that are evidently copies made into groups, and what is left to a person.

Strongest link first. A group has a centre with which every member agrees, so a chain of doubtful links never joins a
crowd. What a person said counts more than pictures: nothing is joined across two given groups or two classes, or
against an answer; a likely copy there is a question.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.copies.content import Content
from tasks.copies.duplicates import group_by_pairs, pairs_by_key

Pair = tuple[int, int]

NO_PAIRS: Final = np.empty((0, 2), dtype=np.int64)


@dataclass(frozen=True)
class JoinedCopies:
    """Which evident pairs join, and which are asked: int64 (m, 2) and (k, 2) of rows, the smaller first.

    Of the pairs between two groups the most evident one is asked.
    """

    joined: NDArray[np.int64] = field(default_factory=lambda: NO_PAIRS)
    asked: NDArray[np.int64] = field(default_factory=lambda: NO_PAIRS)


def join_copies(
    contents: Sequence[Content],
    pairs: NDArray[np.int64],
    evidence: NDArray[np.float64],
    are_copies: Callable[[NDArray[np.int64]], NDArray[np.bool_]],
    not_copies: Collection[frozenset[str]] = (),
) -> JoinedCopies:
    """Make groups of `pairs` int64 (m, 2) of rows of `contents`, whose `evidence` float (m,) is the higher the surer.

    `are_copies` says of pairs that were no candidates whether they are copies; `not_copies` holds digests of which a
    person said that they are none.
    """
    firsts = _first_of_equal_pixels(contents)
    order = np.lexsort((pairs[:, 1], pairs[:, 0], -evidence))
    between = np.sort(firsts[pairs[order]], axis=1)
    ranked: list[Pair] = list(dict.fromkeys((a, b) for a, b in between.tolist() if a != b))
    groups = _Groups(contents, firsts, ranked, are_copies, not_copies)
    joined = [pair for pair in ranked if groups.join(*pair)]
    asked: dict[Pair, Pair] = {}
    for pair in ranked:
        a, b = groups.of(pair)
        if a != b and not groups.answered(a, b):
            asked.setdefault((a, b), pair)
    return JoinedCopies(_array(joined), _array(asked.values()))


class _Groups:
    """Groups of pictures, each with its centre; a picture is named by the first of the rows that show it."""

    def __init__(
        self,
        contents: Sequence[Content],
        firsts: NDArray[np.int64],
        pairs: Sequence[Pair],
        are_copies: Callable[[NDArray[np.int64]], NDArray[np.bool_]],
        not_copies: Collection[frozenset[str]],
    ) -> None:
        self._are_copies, self._known = are_copies, dict.fromkeys(pairs, True)
        self._not_copies, rows = frozenset(not_copies), firsts.tolist()
        patient = group_by_pairs(
            len(contents),
            np.stack([np.arange(len(rows)), firsts], axis=1),
            pairs_by_key([content.keys for content in contents]),
        )
        named = {int(patient[row]) for row, content in enumerate(contents) if content.keys}
        self._root = {first: first for first in rows}
        self._members = {first: [first] for first in rows}
        self._centre = dict(self._root)
        self._sha256s: dict[int, set[str]] = {first: set() for first in rows}
        self._labels: dict[int, set[str]] = {first: set() for first in rows}
        self._patients = {first: {int(patient[first])} & named for first in rows}
        for first, content in zip(rows, contents, strict=True):
            self._sha256s[first].add(content.sha256)
            self._labels[first] |= {content.label} if content.label is not None else set()

    def of(self, pair: Pair) -> Pair:
        """The two groups, the smaller number first."""
        a, b = sorted(self._root[row] for row in pair)
        return a, b

    def answered(self, a: int, b: int) -> bool:
        """Whether a person said of a pair between two groups that it is none of copies."""
        one, other = self._sha256s[a], self._sha256s[b]
        return any(pair & one and pair & other for pair in self._not_copies)

    def join(self, one: int, other: int) -> bool:
        """Join the groups of two rows if they may be one; whether they are one now."""
        a, b = self._root[one], self._root[other]
        if a == b:
            return True
        if any(len(of[a] | of[b]) > 1 for of in (self._patients, self._labels)) or self.answered(a, b):
            return False
        centre = next((row for row in self._centres(a, b, one, other) if self._agrees(row, a, b)), None)
        if centre is None:
            return False
        for row in self._members[b]:
            self._root[row] = a
        self._members[a] += self._members.pop(b)
        self._patients[a] |= self._patients.pop(b)
        self._labels[a] |= self._labels.pop(b)
        self._sha256s[a] |= self._sha256s.pop(b)
        self._centre[a] = centre
        return True

    def _centres(self, a: int, b: int, one: int, other: int) -> Iterator[int]:
        larger, smaller = sorted((a, b), key=lambda root: -len(self._members[root]))
        yield from dict.fromkeys((self._centre[larger], self._centre[smaller], one, other))

    def _agrees(self, centre: int, a: int, b: int) -> bool:
        """Whether a picture is a copy of every member of two groups."""
        members = [*self._members[a], *self._members[b]]
        pairs = [(min(centre, row), max(centre, row)) for row in members if row != centre]
        unknown = [pair for pair in pairs if pair not in self._known]
        if unknown:
            found = self._are_copies(np.array(unknown, dtype=np.int64))
            self._known.update(zip(unknown, found.tolist(), strict=True))
        return all(self._known[pair] for pair in pairs)


def _first_of_equal_pixels(contents: Sequence[Content]) -> NDArray[np.int64]:
    """The first row that shows the same pixels, int64 (n,)."""
    first: dict[str, int] = {}
    return np.array(
        [first.setdefault(one.pixel_sha256, row) for row, one in enumerate(contents)], dtype=np.int64
    )


def _array(pairs: Collection[Pair]) -> NDArray[np.int64]:
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
