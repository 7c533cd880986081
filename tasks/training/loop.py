"""The loop that trains the later stages and the head, or everything, on one device or as one of several ranks."""

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tasks.data.training_view import TrainingView
from tasks.errors import TrainingError
from tasks.training.activations import AS_IT_IS, Activations
from tasks.training.checkpoint import load_checkpoint, save_checkpoint
from tasks.training.depthwise import freeze_depthwise
from tasks.training.device import Compute
from tasks.training.distributed import Ranks
from tasks.training.network import Network
from tasks.training.optimisation import MovingAverage, class_weights, make_optimizer, rate_factor, summed_loss
from tasks.training.recipes import FineTune, Full
from tasks.work.progress import Progress, silent

EVALUATION_BATCH: Final = 64


@dataclass(frozen=True)
class EpochRow:
    """One point of the training curves; the validation figures are None when nothing is set aside."""

    epoch: int
    train_loss: float
    validation_loss: float | None
    validation_auc: float | None
    seconds: float


@dataclass
class _State:
    """What changes from epoch to epoch beside the tensors."""

    epoch: int = 0
    step: int = 0
    micro_batch: int = 0
    curves: list[EpochRow] = field(default_factory=list)
    best_loss: float = math.inf
    best_epoch: int = 0
    notes: list[str] = field(default_factory=list)


class Tail(nn.Module):
    """What is trained: the later stages, the pool and the head."""

    def __init__(self, network: Network, n_frozen: int) -> None:
        super().__init__()
        self.stages = copy.deepcopy(network.stages[n_frozen:])
        self.pool = copy.deepcopy(network.pool)
        self.head = copy.deepcopy(network.head)

    def forward(self, maps: Tensor) -> Tensor:
        """Activations of the frozen stages → logits (N, classes)."""
        logits: Tensor = self.head(self.pool(self.stages(maps)))
        return logits


class Trainer:
    """One training, the `run`-th of its recipe: goes from the first epoch, or the last checkpoint, to the end."""

    def __init__(
        self,
        network: Network,
        recipe: FineTune | Full,
        *,
        n_frozen: int,
        activations: Activations,
        train: TrainingView,
        validation: TrainingView | None,
        seed: int,
        compute: Compute,
        run: int = 0,
        ranks: Ranks = Ranks(),  # noqa: B008 - frozen
    ) -> None:
        self._run, self._ranks = run, ranks
        self._network, self._n_frozen = network, n_frozen
        self._recipe, self._settings = recipe, recipe.optimisation
        self._activations, self._train, self._validation = activations, train, validation
        self._seed, self._compute = seed, compute
        n_classes = network.head.out_features
        self._tail = Tail(network, n_frozen).to(compute.device).to(memory_format=torch.channels_last)
        ranks.begin_alike(self._tail)
        if recipe.freeze_depthwise:
            freeze_depthwise(self._tail.stages)
        self._frozen_norm = recipe.batch_norm == "frozen"
        self._optimizer = make_optimizer(self._tail.parameters(), self._settings)
        self._average = MovingAverage(self._tail, self._settings.ema_decay)
        self._scaler = torch.amp.GradScaler(compute.device.type, enabled=compute.dtype is torch.float16)
        self._weights = class_weights(train.labels, n_classes, self._settings).to(compute.device)
        self._best: dict[str, Tensor] | None = None
        self._state = _State(micro_batch=self._settings.batch_size)
        step_images = self._settings.batch_size * self._settings.accumulate
        self._steps_per_epoch = math.ceil(len(train.labels) / step_images)

    def train(
        self,
        checkpoints: Path | None,
        fingerprint: str,
        progress: Progress = silent,
        stop_after_epochs: int | None = None,
    ) -> tuple[Network, list[EpochRow], list[str]]:
        """Train, at most so many epochs; answer the network (CPU, float32, evaluation mode), its curves and notes.

        Raises:
            TrainingError: the loss is not finite, or one image does not fit the device's memory.
        """
        if checkpoints is not None:
            self._restore(load_checkpoint(checkpoints, fingerprint))
        state = self._state
        epochs = min(self._settings.epochs, stop_after_epochs or self._settings.epochs)
        while state.epoch < epochs and not self._out_of_patience():
            started = time.monotonic()
            loss = self._epoch(progress)
            validation_loss, validation_auc = self._validate()
            state.epoch += 1
            seconds = time.monotonic() - started
            row = EpochRow(state.epoch, loss, validation_loss, validation_auc, seconds)
            state.curves.append(row)
            self._keep_best(row)
            if checkpoints is not None and self._ranks.is_first:
                save_checkpoint(checkpoints, fingerprint, self._saved())
            self._tell(progress, self._told(row))
        return self._trained(), list(state.curves), list(state.notes)

    def _tell(self, progress: Progress, text: str) -> None:
        done, epochs = self._run * self._settings.epochs + self._state.epoch, self._settings.epochs
        progress(done, self._settings.runs * epochs, text)

    def _told(self, row: EpochRow) -> str:
        settings = self._settings
        epochs = (settings.runs - self._run) * settings.epochs - row.epoch
        left = epochs * float(np.mean([r.seconds for r in self._state.curves]))
        watched = ""
        if row.validation_loss is not None:
            watched = f", validation loss {row.validation_loss:.3f}"
        if row.validation_auc is not None:
            watched += f", AUC {row.validation_auc:.3f}"
        return f"epochs, loss {row.train_loss:.3f}{watched}, {left:.0f} s left"

    def _epoch(self, progress: Progress) -> float:
        """Train on every image once; answer the mean loss."""
        state = self._state
        view = (self._run * self._settings.epochs + state.epoch) % self._recipe.views
        order = np.random.default_rng([self._seed, self._run, state.epoch]).permutation(
            len(self._train.labels)
        )
        self._tail.train()
        for module in self._tail.modules():
            if isinstance(module, _BatchNorm) and self._frozen_norm:
                module.eval()
        total = 0.0
        for batch in np.array_split(order, self._steps_per_epoch):
            total += self._fitting_step(batch, view, progress)
            if not math.isfinite(total):
                raise TrainingError(
                    f"the loss is not finite in epoch {state.epoch + 1} at learning rate "
                    f"{self._settings.learning_rate}",
                    cure="choose another preset or other weights; in a search, lower space.learning_rate "
                    "(--space-learning-rate-high)",
                )
        if not self._frozen_norm:
            self._ranks.average_buffers(self._tail)
            self._ranks.average_buffers(self._average.module)
        return total / len(order)

    def _fitting_step(self, batch: NDArray[np.int64], view: int, progress: Progress) -> float:
        """A step; answer the loss, summed over the batch.

        It is computed in halves as small as the memory of the fullest of the ranks' devices asks for.
        """
        state, device = self._state, self._compute.device
        while True:
            try:
                loss, short = self._gradients(batch, view), False
            except torch.OutOfMemoryError:
                loss, short = 0.0, True
            total, n_short = self._ranks.summed(loss, short, device=device)
            if not n_short:
                self._step()
                return total
            if state.micro_batch == 1:
                raise TrainingError(
                    f"one image of this size does not fit the memory of {device}",
                    cure="choose a smaller backbone, or --device cpu; in a search, smaller space.sizes_px "
                    "(--space-sizes-px)",
                )
            state.micro_batch = max(1, state.micro_batch // 2)
            note = f"out of memory: batches are now computed {state.micro_batch} images at a time"
            state.notes.append(note)
            self._tell(progress, note)
            if self._compute.device.type == "cuda":
                torch.cuda.empty_cache()

    def _gradients(self, batch: NDArray[np.int64], view: int) -> float:
        """Compute the gradients of this rank's share of a batch; answer its loss, summed."""
        self._optimizer.zero_grad(set_to_none=True)
        labels = torch.from_numpy(self._train.labels[batch]).to(self._compute.device)
        weight = 1 / float(self._weights[labels].sum())
        batch, labels = batch[self._ranks.share], labels[self._ranks.share]
        total = 0.0
        for start in range(0, len(batch), self._state.micro_batch):
            part = slice(start, start + self._state.micro_batch)
            sha256s = [self._train.sha256[index] for index in batch[part]]
            loss = summed_loss(
                self._logits(self._tail, sha256s, view),
                labels[part],
                self._weights,
                self._settings.label_smoothing,
            )
            torch.autograd.backward(self._scaler.scale(loss * weight))
            total += float(loss.detach())
        return total

    def _step(self) -> None:
        """One step of the optimiser, by the gradients of all ranks."""
        self._ranks.sum_gradients(self._tail)
        if self._settings.gradient_norm is not None:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self._tail.parameters(), self._settings.gradient_norm)
        rate = self._settings.learning_rate * rate_factor(
            self._state.step, self._steps_per_epoch, self._settings
        )
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._state.step += 1
        self._average.update(self._state.step)

    def _logits(self, module: nn.Module, sha256s: Sequence[str], view: int) -> Tensor:
        source = self._activations
        maps = source.maps(sha256s, view) if self._n_frozen else source.views(sha256s, view)
        with self._compute.autocast():
            logits: Tensor = module(maps)
        return logits.float()

    @torch.no_grad()
    def _validate(self) -> tuple[float | None, float | None]:
        """Loss (no smoothing, classes weighted as in training) and AUC of the average on what is set aside."""
        from sklearn.metrics import roc_auc_score

        if self._validation is None:
            return None, None
        self._average.module.eval()
        names = self._validation.sha256[self._ranks.share]
        parts = [torch.empty((0, len(self._weights)), device=self._compute.device)]
        parts += [
            self._logits(self._average.module, names[start : start + EVALUATION_BATCH], AS_IT_IS)
            for start in range(0, len(names), EVALUATION_BATCH)
        ]
        logits = self._ranks.gathered(torch.cat(parts), len(self._validation))
        labels = torch.tensor(self._validation.labels, device=logits.device)
        loss = float(summed_loss(logits, labels, self._weights) / self._weights[labels].sum())
        if len(np.unique(self._validation.labels)) < logits.shape[1]:
            return loss, None
        probabilities = logits.softmax(1).double().cpu().numpy()
        probabilities /= probabilities.sum(1, keepdims=True)
        scores = probabilities[:, 1] if logits.shape[1] == 2 else probabilities
        return loss, float(roc_auc_score(self._validation.labels, scores, multi_class="ovr"))

    def _out_of_patience(self) -> bool:
        patience = self._settings.patience
        if patience is None or self._validation is None:
            return False
        return self._state.epoch - self._state.best_epoch >= patience

    def _keep_best(self, row: EpochRow) -> None:
        if self._settings.patience is None or row.validation_loss is None:
            return
        if row.validation_loss < self._state.best_loss:
            self._state.best_loss, self._state.best_epoch = row.validation_loss, row.epoch
            self._best = {key: value.clone() for key, value in self._average.module.state_dict().items()}

    def _trained(self) -> Network:
        state = self._best or self._average.module.state_dict()
        trained = copy.deepcopy(self._network)
        tail = Tail(trained, self._n_frozen)
        tail.load_state_dict({key: value.cpu() for key, value in state.items()}, strict=True)
        trained.stages = nn.Sequential(*trained.stages[: self._n_frozen], *tail.stages)
        trained.pool, trained.head = tail.pool, tail.head
        return trained.eval().requires_grad_(False)

    def _saved(self) -> dict[str, Any]:
        return {
            "progress": asdict(self._state),
            "tail": self._tail.state_dict(),
            "average": self._average.module.state_dict(),
            "best": self._best,
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def _restore(self, saved: dict[str, Any] | None) -> None:
        if saved is None:
            return
        rows = [EpochRow(**row) for row in saved["progress"].pop("curves")]
        self._state = _State(**saved["progress"], curves=rows)
        self._tail.load_state_dict(saved["tail"])
        self._average.module.load_state_dict(saved["average"])
        self._best = saved["best"]
        self._optimizer.load_state_dict(saved["optimizer"])
        self._scaler.load_state_dict(saved["scaler"])
