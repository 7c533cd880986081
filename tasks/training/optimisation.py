"""Optimiser, schedule, loss and moving average of one training."""

import copy
import math
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from tasks.training.recipes import Optimisation


def make_optimizer(parameters: Iterable[nn.Parameter], settings: Optimisation) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter, arxiv.org/abs/1711.05101) or SGD with Nesterov momentum."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(trained, lr=rate, weight_decay=decay)
    momentum = settings.momentum
    return torch.optim.SGD(trained, lr=rate, momentum=momentum, nesterov=momentum > 0, weight_decay=decay)


def rate_factor(step: int, steps_per_epoch: int, settings: Optimisation) -> float:
    """What the learning rate is multiplied by at a step, counted from 0. In 0..1."""
    warmup = round(settings.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return (step + 1) / warmup
    if settings.schedule == "constant":
        return 1.0
    if settings.schedule == "step":
        return float(settings.step_factor ** (step // (settings.step_epochs * steps_per_epoch)))
    done = min(1.0, (step - warmup) / max(1, settings.epochs * steps_per_epoch - warmup))
    if settings.schedule == "cosine":
        return (1 + math.cos(math.pi * done)) / 2
    return float((1 - done) ** settings.polynomial_power)


def class_weights(labels: NDArray[np.int64], n_classes: int, settings: Optimisation) -> Tensor:
    """Weight of each class in the loss, float32 (classes,), with a mean of 1 over the images."""
    counts = np.maximum(np.bincount(labels, minlength=n_classes), 1)
    power = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[settings.class_weights]
    weights = (counts.sum() / counts) ** power
    weights /= (weights * counts).sum() / counts.sum()
    return torch.from_numpy(weights).float()


def summed_loss(logits: Tensor, labels: Tensor, weights: Tensor, smoothing: float = 0.0) -> Tensor:
    """Weighted cross-entropy, summed over the images, so that parts of a batch add up to it."""
    return functional.cross_entropy(
        logits.float(), labels, weight=weights, label_smoothing=smoothing, reduction="sum"
    )


class MovingAverage:
    """The exponential moving average of a module's weights; with no decay, the weights themselves."""

    def __init__(self, module: nn.Module, decay: float | None) -> None:
        self.module = module if decay is None else copy.deepcopy(module).eval().requires_grad_(False)
        self._trained = module
        self._decay = decay

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Follow the weights after a step, counted from 1.

        The decay rises with the steps: tensorflow.org/api_docs/python/tf/train/ExponentialMovingAverage.
        """
        if self._decay is None:
            return
        share = 1 - min(self._decay, (1 + step) / (10 + step))
        pairs = zip(self.module.parameters(), self._trained.parameters(), strict=True)
        moved = [(old, new) for old, new in pairs if new.requires_grad]
        torch._foreach_lerp_([old for old, _ in moved], [new.detach() for _, new in moved], share)
        for old, new in zip(self.module.buffers(), self._trained.buffers(), strict=True):
            old.copy_(new)
