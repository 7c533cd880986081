"""Rates, weights of classes, losses and the moving average do what the recipe says."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tasks.training.optimisation import MovingAverage, class_weights, rate_factor, summed_loss
from tasks.training.recipes import Optimisation


@settings(deadline=None)
@given(
    st.sampled_from(["cosine", "polynomial", "step", "constant"]),
    st.integers(1, 30),
    st.floats(0, 5),
    st.integers(1, 9),
)
def test_the_rate_rises_then_never_rises_again(
    schedule: str, epochs: int, warmup_epochs: float, steps: int
) -> None:
    chosen = Optimisation.model_validate(
        {"schedule": schedule, "epochs": epochs, "warmup_epochs": warmup_epochs}
    )
    rates = [rate_factor(step, steps, chosen) for step in range(epochs * steps)]
    warmup = min(round(warmup_epochs * steps), len(rates))
    assert all(0 <= rate <= 1 for rate in rates)
    assert rates[:warmup] == sorted(rates[:warmup])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)


def test_schedules_end_where_they_say() -> None:
    cosine, step = Optimisation(epochs=10), Optimisation(epochs=10, schedule="step", step_epochs=4)
    assert rate_factor(0, 5, cosine) == 1
    assert rate_factor(25, 5, cosine) == pytest.approx(0.5)
    assert rate_factor(50, 5, cosine) == pytest.approx(0)
    assert [rate_factor(epoch * 5, 5, step) for epoch in (3, 4, 8)] == pytest.approx([1, 0.1, 0.01])
    power = Optimisation(epochs=10, schedule="polynomial", polynomial_power=2)
    assert rate_factor(25, 5, power) == pytest.approx(0.25)


def test_balanced_weights_make_the_classes_equal() -> None:
    labels = np.array([0] * 30 + [1] * 10)
    weights = class_weights(labels, 2, Optimisation())
    assert float(weights[0]) * 30 == pytest.approx(float(weights[1]) * 10)
    assert float(weights[torch.from_numpy(labels)].mean()) == pytest.approx(1)
    assert class_weights(labels, 2, Optimisation(class_weights="none")).tolist() == [1, 1]
    root = class_weights(labels, 2, Optimisation(class_weights="sqrt"))
    assert float(root[1] / root[0]) == pytest.approx(math.sqrt(3))


def test_losses_of_parts_add_up_to_torchs_own() -> None:
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 1])
    weights = torch.tensor([1.0, 2.0, 0.5])
    parts = sum(summed_loss(logits[i : i + 2], labels[i : i + 2], weights, 0.1) for i in (0, 2, 4))
    whole = nn.functional.cross_entropy(logits, labels, weight=weights, label_smoothing=0.1)
    torch.testing.assert_close(parts / weights[labels].sum(), whole)


def test_the_moving_average_follows_the_weights() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    average = MovingAverage(module, 0.9)
    nn.init.ones_(module.weight)
    average.update(1)  # the decay begins at 2/11
    assert float(average.module.weight) == pytest.approx(9 / 11)  # type: ignore[arg-type]
    for step in range(2, 200):
        average.update(step)
    assert float(average.module.weight) == pytest.approx(1, abs=1e-4)  # type: ignore[arg-type]
    assert MovingAverage(module, None).module is module
