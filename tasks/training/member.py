"""Train one member by its recipe, from a view that cannot hold what the member is evaluated on."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from tasks.data.training_view import TrainingView
from tasks.errors import ConfigError
from tasks.training.activations import ActivationCache, Activations, Images
from tasks.training.checkpoint import drop_checkpoint
from tasks.training.device import check_devices, compute_on
from tasks.training.distributed import Ranks, ranks_here
from tasks.training.loop import EpochRow, Trainer
from tasks.training.network import Network, fold_batch_norm
from tasks.training.probe import fit_head
from tasks.training.recipes import FineTune, Full, Probe
from tasks.training.weights import WeightsRecord, build
from tasks.work.progress import Progress, silent


@dataclass(frozen=True)
class TrainedMember:
    """A trained network (CPU, float32, evaluation mode) with how it came to be.

    `probe_strength` is the inverse regularisation of the linear head, where there was one. `notes` tell what
    happened on the way, such as smaller batches for want of memory.
    """

    network: Network
    recipe: Probe | FineTune | Full
    curves: list[EpochRow]
    weights: WeightsRecord
    probe_strength: float | None
    seconds: float
    notes: list[str]


def fit_member(
    view: TrainingView,
    images: Images,
    classes: Sequence[str],
    recipe: Probe | FineTune | Full,
    seed: int,
    *,
    device: str = "auto",
    devices: int = 1,
    checkpoint_dir: Path | None = None,
    progress: Progress = silent,
    activations: ActivationCache | None = None,
    stop_after_epochs: int | None = None,
) -> TrainedMember:
    """Train on the view's images; members of one run may share `activations`, which are of frozen stages.

    With `stop_after_epochs` each of the recipe's trainings ends after so many epochs, whatever its schedule, and
    leaves its checkpoint for a later call to go on from.

    With a `checkpoint_dir` of its own, a killed training goes on after its last whole epoch, to the same figures;
    whole runs are kept there until the last one is done.
    Progress counts epochs.

    With several `devices` as many processes share every batch, each with a GPU of its own where there are GPUs, to
    the figures of one within rounding; `activations` are then each process's own. A script that `torchrun` runs calls
    this after `init_process_group`, with one checkpoint folder for all and each rank's own device, and gets the same.
    Only statistics of trained batch norms differ: they are of each process's images, averaged after every epoch.

    Raises:
        WeightsUnavailable, ConfigError: as `build`; fewer devices or images than processes.
        TrainingError: the loss is not finite, memory does not suffice for one image, or a process died.
    """
    if devices > 1:
        from tasks.training.launch import launch

        check_devices(device, devices, len(view))
        return launch(
            fit_member,
            devices,
            device=device,
            progress=progress,
            view=view,
            images=images,
            classes=classes,
            recipe=recipe,
            seed=seed,
            checkpoint_dir=checkpoint_dir,
            stop_after_epochs=stop_after_epochs,
        )
    started = time.monotonic()
    ranks = ranks_here()
    compute = compute_on(device)
    network, weights = build(
        recipe.backbone, len(classes), recipe.weights, size_px=recipe.preprocessing.size_px, seed=seed
    )
    if isinstance(recipe, Probe) or recipe.batch_norm == "frozen":
        network = fold_batch_norm(network)
    n_frozen = _frozen_stages(network, recipe)
    source = Activations(
        network,
        n_frozen,
        images=images,
        transforms=recipe.transforms,
        seed=seed,
        compute=compute,
        cache=ActivationCache() if activations is None else activations,
        weights_name=f"{weights.sha256 or seed} {recipe.preprocessing.model_dump_json()}",
    )
    train, validation = (view, None) if isinstance(recipe, Probe) else _set_aside(view, recipe, seed)
    strength = _probe(network, recipe, source, train, ranks, seed=seed, progress=progress)
    if isinstance(recipe, Probe):
        seconds = time.monotonic() - started
        network.requires_grad_(False)
        return TrainedMember(network, recipe, [], weights, strength, seconds, [])
    fingerprint = _fingerprint(view, recipe, f"{list(classes)} {seed} {compute.kind} {weights.sha256}")
    trained: list[Network] = []
    curves: list[EpochRow] = []
    notes: list[str] = []
    for run in range(recipe.optimisation.runs):
        trainer = Trainer(
            network,
            recipe,
            n_frozen=n_frozen,
            activations=source,
            train=train,
            validation=validation,
            seed=seed,
            compute=compute,
            run=run,
            ranks=ranks,
        )
        checkpoints = checkpoint_dir and checkpoint_dir / f"run-{run}"
        one, rows, said = trainer.train(checkpoints, fingerprint, progress, stop_after_epochs)
        trained.append(one)
        curves += [replace(row, epoch=len(curves) + place) for place, row in enumerate(rows, start=1)]
        notes += said
    if (
        checkpoint_dir is not None
        and (stop_after_epochs or recipe.optimisation.epochs) >= recipe.optimisation.epochs
    ):
        for run in range(recipe.optimisation.runs):
            drop_checkpoint(checkpoint_dir / f"run-{run}")
    seconds = time.monotonic() - started
    return TrainedMember(_averaged(trained), recipe, curves, weights, strength, seconds, notes)


def _averaged(networks: Sequence[Network]) -> Network:
    """One network with the mean of all weights: trainings from one start end in one basin (arXiv:2203.05482)."""
    first = networks[0]
    if len(networks) > 1:
        states = [network.state_dict() for network in networks]
        first.load_state_dict({key: sum(state[key] for state in states) / len(states) for key in states[0]})
    return first


def _frozen_stages(network: Network, recipe: Probe | FineTune | Full) -> int:
    n_stages = len(network.stages)
    if isinstance(recipe, Probe):
        return n_stages
    n_frozen = network.spec.early_stages if recipe.frozen_stages is None else recipe.frozen_stages
    if n_frozen > n_stages:
        raise ConfigError(
            f"frozen_stages {n_frozen}: {network.spec.name} has {n_stages} stages",
            cure=f"freeze 0 to {n_stages}",
        )
    return n_frozen


def _probe(
    network: Network,
    recipe: Probe | FineTune | Full,
    source: Activations,
    view: TrainingView,
    ranks: Ranks,
    *,
    seed: int,
    progress: Progress,
) -> float | None:
    """Give the network the head of a linear probe on pretrained features."""
    n_views = recipe.views if isinstance(recipe, Probe) else recipe.probe_views
    if n_views == 0 or len(np.unique(view.labels)) < 2:
        return None
    features = []
    for number in range(n_views):
        features.append(ranks.gathered(source.features(view.sha256[ranks.share], number), len(view)))
        progress(number + 1, n_views, "views for the linear head")
    return fit_head(
        network.head,
        torch.stack(features),
        view.labels,
        view.groups,
        inner_folds=recipe.inner_folds,
        seed=seed,
    )


def _set_aside(
    view: TrainingView, recipe: FineTune | Full, seed: int
) -> tuple[TrainingView, TrainingView | None]:
    """Split the view, by group, into what is learnt and what is watched."""
    fraction = recipe.optimisation.validation_fraction
    return view.split(fraction, seed) if fraction else (view, None)


def _fingerprint(view: TrainingView, recipe: FineTune | Full, others: str) -> str:
    """Name all that a training depends on: a checkpoint of another one is not gone on from."""
    told = hashlib.sha256(f"{others} {recipe.model_dump_json()}".encode())
    for sha256, label, group in zip(view.sha256, view.labels, view.groups, strict=True):
        told.update(f"{sha256} {label} {group}".encode())
    return told.hexdigest()
