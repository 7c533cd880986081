"""A class of any name has a key that MLflow takes, and no two classes share one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name

from tasks.tracking.keys import key_part

NAMES = [
    "yes",
    "stage (II)",
    "a, b",
    "100 %",
    "<5",
    'say "no"',
    "a/../b",
    "/x",
    "./x",
    "",
    ".",
    "..",
    "腺癌",
    "ü",
    "a:b",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_makes_a_key(name: str) -> None:
    _validate_metric_name(f"{key_part(name)}/recall_lower")  # type: ignore[no-untyped-call]


def test_plain_names_stay() -> None:
    assert [key_part(name) for name in ("yes", "not usable", "stage-2", "腺癌")] == [
        "yes",
        "not usable",
        "stage-2",
        "腺癌",
    ]


@given(st.lists(st.text(max_size=300), min_size=2, max_size=5, unique=True))
def test_no_two_names_share_a_key(names: list[str]) -> None:
    keys = [key_part(name) for name in names]
    assert len(set(keys)) == len(names)
    for key in keys:
        _validate_metric_name(f"{key}/recall_lower")  # type: ignore[no-untyped-call]
