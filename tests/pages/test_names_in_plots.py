"""Classes may be called anything: figures show every name, and no two alike."""

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.pages import plots
from tasks.pages.plots import labels_of

ODD = [
    ("adenocarcinoma of the left lung", "adenocarcinoma of the right lung"),
    ("腺癌", "正常"),
    ("здоров", "опухоль"),
    ("سليم", "ورم"),
    ("a < b & c", 'say "no"'),
    ("100 %", "$x$ (left, right)"),
    ("_hidden", "__also"),
]


@pytest.mark.parametrize("classes", ODD, ids=lambda classes: classes[0])
def test_a_name_of_any_script_or_sign_is_shown(classes: tuple[str, str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = plots.confusion_matrix([[3, 1], [0, 4]], classes)
    text = svg.replace("&lt;", "<").replace("&amp;", "&").replace("&quot;", '"')
    for word in [word for name in classes for word in name.split()]:
        assert word in text, word


def test_long_names_that_begin_alike_stay_apart() -> None:
    names = [f"adenocarcinoma of the lung, stage {stage}" for stage in "ABC"]
    shown = labels_of(names)
    assert len(set(shown)) == 3
    assert [label[-1] for label in shown] == ["A", "B", "C"]
    very_long = [f"{'x' * 80}{place}{'y' * 80}" for place in range(3)]
    assert len(set(labels_of(very_long))) == 3


@given(st.lists(st.text(min_size=1), min_size=1, max_size=6, unique=True))
def test_no_two_names_are_shown_alike_and_none_is_hidden(names: list[str]) -> None:
    shown = labels_of(names)
    assert len(set(shown)) == len(names)
    assert not any(label.startswith("_") for label in shown)
