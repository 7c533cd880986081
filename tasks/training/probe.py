"""A regularised linear head on frozen features."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from tasks.data.grouped_splits import grouped_splits

STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
"""Inverse regularisation of the logistic head, for standardised features."""


def fit_head(
    head: nn.Linear,
    features: Tensor,
    labels: NDArray[np.int64],
    groups: Sequence[str],
    *,
    inner_folds: int,
    seed: int,
) -> float:
    """Fit a head to the features of several views, float32 (V, n, D); answer the strength it was given.

    Multinomial logistic regression with balanced classes on standardised features. The strength is the one of
    the least log loss in inner folds of these images, that no group crosses.
    """
    from sklearn.linear_model import LogisticRegression

    values = features.double().cpu().numpy()
    n_views, _, width = values.shape
    flat = values.reshape(-1, width)
    mean, scale = flat.mean(0), flat.std(0)
    # A channel that hardly varies would get a huge weight, which the first steps of fine-tuning blow up.
    scale = np.maximum(scale, max(np.median(scale), 1e-6))
    strength = _strength((values.mean(0) - mean) / scale, labels, groups, inner_folds, seed)
    model = LogisticRegression(C=strength / n_views, class_weight="balanced", max_iter=1000, tol=1e-3)
    model.fit((flat - mean) / scale, np.tile(labels, n_views))
    weight, bias = model.coef_ / scale, model.intercept_
    bias = bias - weight @ mean
    if len(weight) == 1:  # of two classes, one margin: share it out
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight))
        head.bias.copy_(torch.from_numpy(bias))
    return strength


def _strength(
    values: NDArray[np.float64], labels: NDArray[np.int64], groups: Sequence[str], folds: int, seed: int
) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    classes = np.unique(labels)
    names = np.array(groups)
    n_groups = min(len(np.unique(names[labels == label])) for label in classes)
    if n_groups < 2:
        return STRENGTHS[len(STRENGTHS) // 2]
    if len(values) < values.shape[1]:
        # The penalty does not change under rotation: in the space that the rows span, the fits are the same and fast.
        left, singular, _ = np.linalg.svd(values, full_matrices=False)
        values = left * singular
    losses = np.zeros(len(STRENGTHS))
    with threadpool_limits(1):  # products this small are many times slower when threads share them
        for train, test in grouped_splits(labels, groups, min(folds, n_groups), seed):
            if len(np.unique(labels[train])) < len(classes):
                continue
            for index, strength in enumerate(STRENGTHS):
                model = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000, tol=1e-2)
                model.fit(values[train], labels[train])
                losses[index] += log_loss(
                    labels[test], model.predict_proba(values[test]), labels=classes, normalize=False
                )
    return STRENGTHS[int(losses.argmin())]
