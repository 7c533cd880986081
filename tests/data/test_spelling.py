"""Labels that differ only in how they are written are one class; what a sign tells apart stays apart."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.spelling import doubtful_names, join_spellings, spelling_key

ONE_CLASS = [
    (
        "yes",
        "Yes",
        "YES",
        " yes ",
        "yes\u00a0",
        "\ufeffyes",
        "y\u00ades",
        "ｙｅｓ",
        '"yes"',
        "'yes'",
        "“yes”",
        "['yes']",
    ),
    ("1", "1.0", "01", "1.00", "+1", "1,0", "１"),
    ("0", "0.0", "-0", "00"),
    (
        "brain tumour",
        "Brain_Tumour",
        "brain-tumour",
        "brain  tumour",
        "brain – tumour",
        "brain%20tumour",
        "b'brain tumour'",
    ),
    ("größe", unicodedata.normalize("NFD", "größe"), "GRÖSSE", "GrÃ¶ÃŸe"),
    ("a & b", "a &amp; b"),
]
APART = [
    ("ER+", "ER-"),
    ("ER-", "ER"),
    ("1", "-1"),
    ("1", "10"),
    ("1000", "1,000"),
    ("12E3", "12000"),
    ("a1", "a"),
    ("stage 1", "stage 11"),
    ("50%", "50"),
    ("<5", ">5"),
]


@pytest.mark.parametrize("spellings", ONE_CLASS, ids=lambda spellings: spellings[0])
def test_ways_to_write_one_class(spellings: tuple[str, ...]) -> None:
    assert {spelling_key(text) for text in spellings} == {spelling_key(spellings[0])}


@pytest.mark.parametrize(("one", "other"), APART)
def test_classes_that_a_sign_tells_apart(one: str, other: str) -> None:
    assert spelling_key(one) != spelling_key(other)


def test_the_plainest_spelling_counts_however_many_have_which() -> None:
    few, many = {"yes": 1, "Yes": 99, "YES": 2, "no": 5}, {"yes": 99, "Yes": 1, "YES": 2, "no": 5}
    expected = {"yes": "yes", "Yes": "yes", "YES": "yes", "no": "no"}
    assert join_spellings(few).names == join_spellings(many).names == expected
    [told] = join_spellings(few).told
    assert "'YES' (2), 'Yes' (99) differ from 'yes' (1) only in how they are written" in told
    assert join_spellings(few, preferred={"Yes"}).names["yes"] == "Yes"


def test_spellings_are_kept_apart_by_a_word_and_that_is_told() -> None:
    apart = join_spellings({"yes": 1, "Yes": 2}, join=False)
    assert apart.names == {"yes": "yes", "Yes": "Yes"}
    assert (
        "'Yes' (2), 'yes' (1) differ only in how they are written and are classes of their own"
        in apart.told[0]
    )


@given(st.dictionaries(st.text(min_size=1), st.integers(1, 9), max_size=6))
def test_joining_twice_changes_nothing(counts: dict[str, int]) -> None:
    names = join_spellings(counts).names
    again = join_spellings(dict.fromkeys(names.values(), 1))
    assert all(label == name for label, name in again.names.items())
    assert not again.told


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (("brain tumour", "braintumour", "no"), "look like one class written in several ways"),
        (("yes", "1", "no"), "look like one class written in several ways"),
        (("naïve", "naive"), "look like one class written in several ways"),
        (("yes", "no", "unknown"), "reads as if it said that there is no label"),
        (("yes", "no", "nan"), "reads as if it said that there is no label"),
        (("yes", "no", "yes; no"), "names several other classes"),
    ],
)
def test_what_may_be_one_class_or_none_is_asked(labels: tuple[str, ...], told: str) -> None:
    [sentence] = doubtful_names(dict.fromkeys(labels, 3))
    assert told in sentence


@pytest.mark.parametrize(
    "labels", [("yes", "no"), ("0", "1", "2"), ("ER+", "ER-", "ER"), ("glioma", "meningioma")]
)
def test_plain_classes_raise_no_doubt(labels: tuple[str, ...]) -> None:
    assert doubtful_names(dict.fromkeys(labels, 3)) == []
    assert not join_spellings(dict.fromkeys(labels, 3)).told
