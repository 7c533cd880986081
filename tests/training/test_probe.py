"""The linear probe: it finds what is there, and is held back where nothing is."""

import numpy as np
import pytest
import torch
from torch import nn

from tasks.training.probe import fit_head


def separable(n: int = 60, width: int = 30, n_classes: int = 2) -> tuple[torch.Tensor, np.ndarray, list[str]]:
    rng = np.random.default_rng(0)
    labels = np.arange(n) % n_classes
    features = rng.normal(5, 3, (2, n, width))
    features[:, np.arange(n), labels] += 12
    features[..., -1] = 4.0  # a dead channel
    return torch.from_numpy(features).float(), labels, [f"g{i // 4}" for i in range(n)]


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_probe_finds_what_separates_the_classes(n_classes: int) -> None:
    features, labels, groups = separable(n_classes=n_classes)
    head = nn.Linear(30, n_classes)
    strength = fit_head(head, features, labels, groups, inner_folds=4, seed=0)
    predicted = head(features[1]).argmax(1).numpy()
    assert (predicted == labels).mean() > 0.95
    assert 1e-4 <= strength <= 1e-1
    assert torch.isfinite(head.weight).all()


def test_the_probe_of_noise_is_held_back_more_than_of_a_signal() -> None:
    features, labels, groups = separable()
    noise = torch.from_numpy(np.random.default_rng(1).normal(size=features.shape)).float()
    heads = nn.Linear(30, 2), nn.Linear(30, 2)
    signal_strength = fit_head(heads[0], features, labels, groups, inner_folds=4, seed=0)
    noise_strength = fit_head(heads[1], noise, labels, groups, inner_folds=4, seed=0)
    assert noise_strength < signal_strength
