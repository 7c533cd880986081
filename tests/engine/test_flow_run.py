"""A flow run's name says of what it is and when; a name that a person typed stays."""

import re
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.utilities.names import generate_slug

from tasks.engine import flow_run
from tasks.engine.flow_run import ended, is_made_up, run_name, subject_of


@dataclass
class Named:
    """What has a name."""

    name: str


@given(st.integers())
def test_names_that_prefect_makes_up_are_known(_: int) -> None:
    assert is_made_up(generate_slug(2))


@pytest.mark.parametrize("name", ["nightly", "retrain-demo", "second try", "", "after-the-new-scanner", "v2"])
def test_names_that_people_type_are_not_taken_for_made_up(name: str) -> None:
    assert not is_made_up(name)


@pytest.mark.parametrize(
    ("parameters", "subject"),
    [
        ({"dataset": Named("lungs"), "force": False}, "lungs"),
        ({"dataset": {"name": "lungs"}}, "lungs"),
        ({"run": {"name": "lungs", "id": "1"}}, "lungs"),
        ({"model": Named("lungs"), "images": {"url": "x"}}, "lungs"),
        ({"pool": "gpu"}, "gpu"),
        ({"watched": None}, ""),
    ],
)
def test_the_subject_is_what_the_parameters_are_about(parameters: dict[str, object], subject: str) -> None:
    assert subject_of(parameters) == subject


@pytest.mark.parametrize(
    ("given_name", "expected"),
    [("chivalrous-mouflon", r"retrain lungs \d{4}-\d\d-\d\d \d\d:\d\d"), ("new scanner", "new scanner")],
)
def test_a_made_up_name_is_replaced_and_a_typed_one_stays(
    given_name: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__NAME", given_name)
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__FLOW_NAME", "retrain")
    monkeypatch.setattr(flow_run, "subject_of", lambda parameters: "lungs")
    assert re.fullmatch(expected, run_name())


def test_without_a_flow_run_a_result_is_just_returned() -> None:
    assert ended(3, "three") == 3
