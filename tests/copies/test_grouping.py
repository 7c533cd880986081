"""What evident pairs make of contents: groups with a centre, and questions where a person said otherwise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasks.copies.content import Content
from tasks.copies.duplicates import group_by_pairs
from tasks.copies.grouping import JoinedCopies, Pair, join_copies


def content(name: str, keys: tuple[str, ...] = (), label: str | None = "yes", pixels: str = "") -> Content:
    return Content(name, pixels or name, "00" * 32, keys, label)


def joined(contents: list[Content], links: dict[Pair, float], *not_copies: str) -> JoinedCopies:
    """Links are all that are copies, with their evidence."""

    def are_copies(pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.array([tuple(pair) in links for pair in pairs.tolist()], dtype=np.bool_)

    return join_copies(
        contents,
        np.array([*links], dtype=np.int64).reshape(-1, 2),
        np.array([*links.values()], dtype=np.float64),
        are_copies,
        [frozenset(pair) for pair in not_copies],
    )


def groups(found: JoinedCopies, n: int) -> set[frozenset[int]]:
    of = group_by_pairs(n, found.joined)
    return {frozenset(np.flatnonzero(of == group).tolist()) for group in np.unique(of)}


def test_a_group_has_a_centre_with_which_all_agree() -> None:
    star = joined([content(name) for name in "abcd"], {(0, 1): 0.7, (0, 2): 0.8, (0, 3): 0.9})
    assert groups(star, 4) == {frozenset(range(4))}
    assert not len(star.asked)


def test_a_chain_joins_no_crowd_and_its_open_links_are_asked() -> None:
    links = {(i, i + 1): 0.9 - i / 100 for i in range(9)}
    found = joined([content(name) for name in "abcdefghij"], links)
    assert max(map(len, groups(found, 10))) == 3
    of = group_by_pairs(10, found.joined)
    for a, b in links:
        assert of[a] == of[b] or [a, b] in found.asked.tolist()


def test_candidates_that_were_never_compared_are_compared_for_the_centre() -> None:
    """Of a crowd of copies not every pair is a candidate."""
    asked: list[Pair] = []

    def are_copies(pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
        asked.extend((a, b) for a, b in pairs.tolist())
        return np.ones(len(pairs), dtype=np.bool_)

    contents = [content(f"{i:02}") for i in range(40)]
    chain = np.array([(i, i + 1) for i in range(39)])
    found = join_copies(contents, chain, np.linspace(0.9, 0.7, 39), are_copies)
    assert groups(found, 40) == {frozenset(range(40))}
    assert len(asked) <= 2 * 40


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (content("a", ("patient 1",)), content("b", ("patient 2",))),
        (content("a", label="yes"), content("b", label="no")),
    ],
)
def test_across_patients_and_classes_a_likely_copy_is_a_question(one: Content, other: Content) -> None:
    found = joined([one, other, content("c")], {(0, 1): 0.9})
    assert not len(found.joined)
    assert found.asked.tolist() == [[0, 1]]
    assert not len(joined([one, other], {(0, 1): 0.9}, ("a", "b")).asked)  # type: ignore[arg-type]


def test_neither_patients_nor_classes_meet_by_way_of_a_third() -> None:
    contents = [content("a", ("1",)), content("b", (), None), content("c", ("2",)), content("d", label="no")]
    found = joined(contents, {(0, 1): 0.9, (1, 2): 0.8, (0, 2): 0.8, (1, 3): 0.7})
    assert groups(found, 4) == {frozenset({0, 1}), frozenset({2}), frozenset({3})}
    assert found.asked.tolist() == [[0, 2], [1, 3]] or found.asked.tolist() == [[1, 2], [1, 3]]


def test_equal_pixels_make_one_of_two_patients() -> None:
    contents = [content("a", ("1",), pixels="x"), content("b", ("2",), pixels="x"), content("c", ("2",))]
    found = joined(contents, {(0, 2): 0.9})
    assert found.joined.tolist() == [[0, 2]]


def test_an_answer_keeps_apart_what_would_be_joined_or_asked_about() -> None:
    contents = [content("a", pixels="x"), content("b", pixels="x"), content("c"), content("d")]
    links = {(0, 2): 0.9, (1, 2): 0.9, (2, 3): 0.8}
    assert groups(joined(contents, {**links, (0, 3): 0.7}), 4) == {frozenset({0, 2, 3}), frozenset({1})}
    found = joined(contents, links, ("b", "c"))  # type: ignore[arg-type]
    assert found.joined.tolist() == [[2, 3]]
    assert not len(found.asked)


@st.composite
def drawn(draw: st.DrawFn) -> tuple[list[Content], dict[Pair, float]]:
    n = draw(st.integers(2, 12))
    keys = st.sampled_from([(), ("1",), ("2",), ("1", "2")])
    contents = [
        content(
            f"{i:02}",
            draw(keys),
            draw(st.sampled_from(["yes", "no", None])),
            draw(st.sampled_from(["", "same"])),
        )
        for i in range(n)
    ]
    every = [(a, b) for b in range(n) for a in range(b)]
    links = draw(st.dictionaries(st.sampled_from(every), st.floats(0.65, 1), max_size=25))
    return contents, links


@given(drawn())
def test_whatever_is_found_no_group_holds_two_classes_and_every_link_is_accounted_for(
    case: tuple[list[Content], dict[Pair, float]],
) -> None:
    contents, links = case
    n = len(contents)
    found = joined(contents, links)
    first = {one.pixel_sha256: i for i, one in reversed(list(enumerate(contents)))}
    shown = [first[one.pixel_sha256] for one in contents]
    of = group_by_pairs(n, found.joined)
    for group in np.unique(of):
        rows = np.flatnonzero(of == group).tolist()
        same = {name for row in rows for name in [contents[row].pixel_sha256]}
        labels = {one.label for one in contents if one.pixel_sha256 in same and one.label is not None}
        assert len(labels) <= 1 or len(rows) == 1
        assert len(rows) == 1 or any(
            all(row == centre or tuple(sorted((row, centre))) in between(links, shown) for row in rows)
            for centre in rows
        )
    asked = {frozenset((of[a], of[b])) for a, b in found.asked.tolist()}
    for a, b in between(links, shown):
        assert of[a] == of[b] or frozenset((of[a], of[b])) in asked


def between(links: dict[Pair, float], shown: list[int]) -> set[tuple[int, ...]]:
    """Links between pictures, each named by the first content that shows it."""
    return {tuple(sorted((shown[a], shown[b]))) for a, b in links if shown[a] != shown[b]}
