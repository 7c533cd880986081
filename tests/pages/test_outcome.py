"""What became of a model is said with what matters most, before any figure."""

import numpy as np
import pytest

from tasks.evaluation.gate import Decision, decide
from tasks.evaluation.metrics import evaluate
from tasks.evaluation.settings import GateSettings
from tasks.pages.outcome import Outcome


def _decision(skill: float) -> Decision:
    rng = np.random.default_rng(2)
    labels = np.r_[np.ones(155, dtype=int), np.zeros(98, dtype=int)]
    yes = 1 / (1 + np.exp(-rng.normal(skill * (2 * labels - 1), 1.0)))
    return decide(
        evaluate(
            labels,
            np.stack([1 - yes, yes], axis=1),
            (yes >= 0.1).astype(int),
            np.arange(labels.size),
            ["no", "yes"],
            positive_class="yes",
            protocol="cross_validation",
            resamples=50,
        ),
        None,
        GateSettings(),
    )


@pytest.mark.parametrize("skill", [0.0, -1.0])
def test_a_model_that_knows_nothing_is_said_to(skill: float) -> None:
    told = Outcome("demo", "v2", _decision(skill), champion="v1", is_champion=False)
    assert (told.title, told.served) == ("Refused", "v1")
    assert told.now == (
        "Version v1 stays in service: version v2 was refused because it is not shown to be better than chance."
    )


def test_a_model_that_knows_something_is_not() -> None:
    told = Outcome("demo", "v2", _decision(2.0), champion=None, is_champion=False)
    assert "chance" not in told.now
