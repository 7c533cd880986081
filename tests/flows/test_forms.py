"""The forms that people fill in Prefect: groups are called by what they are, and stand in the order of filling."""

import re
from typing import Any

import pytest

from flows.compute import compute_start, compute_stop
from flows.label import label
from flows.retrain import retrain
from flows.score import score_store
from flows.watchdog import watchdog

FORMS = [retrain, score_store, label, compute_start, compute_stop, watchdog]


@pytest.mark.parametrize("flow", FORMS, ids=lambda flow: flow.name)
def test_no_group_is_called_by_the_name_of_a_class(flow: Any) -> None:
    definitions = flow.parameters.model_dump(mode="json")["definitions"]
    titles = [definition["title"] for definition in definitions.values()]
    assert [title for title in titles if re.search(r"[a-z][A-Z]", title)] == []


def test_what_everybody_fills_comes_first_and_what_few_change_last() -> None:
    properties = retrain.parameters.model_dump(mode="json")["properties"]
    order = sorted(properties, key=lambda name: properties[name]["position"])
    assert order[:3] == ["images", "workspace", "dataset"]
    assert order.index("gate") < order.index("search") < order.index("compute") < order.index("force")
