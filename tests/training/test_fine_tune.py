"""Whole trainings on small pictures: they learn, repeat themselves, go on after a kill, and stop when told."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.samples.disc_pictures import SIDE, Pictures, sha256_of
from torch import Tensor

import tasks.training.loop
from tasks.data.training_view import TrainingView
from tasks.errors import ConfigError, TrainingError
from tasks.images.settings import Preprocessing
from tasks.training.activations import ActivationCache
from tasks.training.loop import Tail
from tasks.training.member import TrainedMember, fit_member
from tasks.training.recipes import FineTune, Full, Optimisation, Probe, WeightsChoice
from tasks.training.transforms import ColorJitter, RandomAffine, RandomTransforms

CLASSES = ("no", "yes")
COMMON: dict[str, Any] = {
    "preprocessing": Preprocessing(size_px=SIDE),
    "transforms": RandomTransforms(
        color_jitter=ColorJitter(), random_affine=RandomAffine(degrees=20, translate=0.05)
    ),
}
RANDOM = WeightsChoice(source="none")
FINE_TUNE = FineTune(**COMMON, optimisation=Optimisation(epochs=3), views=3, probe_views=2)


def train(
    recipe: Probe | FineTune | Full, view: TrainingView, pictures: Pictures, **options: Any
) -> TrainedMember:
    return fit_member(view, pictures, CLASSES, recipe, options.pop("seed", 0), device="cpu", **options)


def margins(member: TrainedMember, pictures: Pictures, numbers: range) -> Tensor:
    """Logit of yes minus that of no."""
    spec = member.network.spec
    pixels = torch.from_numpy(pictures.take([sha256_of(i) for i in numbers])).permute(0, 3, 1, 2) / 255
    images = (pixels - torch.tensor(spec.mean)[:, None, None]) / torch.tensor(spec.std)[:, None, None]
    with torch.inference_mode():
        logits: Tensor = member.network(images)
    return logits[:, 1] - logits[:, 0]


def accuracy(member: TrainedMember, pictures: Pictures) -> float:
    """On pictures 32 to 63, which no view holds."""
    truth = torch.tensor([i % 4 >= 2 for i in range(32, 64)])
    return float(((margins(member, pictures, range(32, 64)) > 0) == truth).float().mean())


def weights(member: TrainedMember) -> dict[str, Tensor]:
    return dict(member.network.state_dict())


def same(one: TrainedMember, other: TrainedMember) -> bool:
    return all(torch.equal(value, weights(other)[key]) for key, value in weights(one).items())


@pytest.mark.parametrize(
    "recipe",
    [
        Probe(**COMMON, views=2),
        FINE_TUNE,
        Full(**COMMON, batch_norm="frozen", optimisation=Optimisation(epochs=3, learning_rate=1e-4)),
    ],
    ids=lambda recipe: recipe.kind,
)
def test_each_recipe_learns_with_the_packaged_weights(
    recipe: Probe | FineTune | Full, view: TrainingView, pictures: Pictures
) -> None:
    told: list[tuple[int, int | None, str]] = []
    member = train(recipe, view, pictures, progress=lambda *what: told.append(what))
    assert accuracy(member, pictures) >= 0.9
    assert member.weights.licence == "Apache-2.0"
    assert not member.network.training
    assert not any(parameter.requires_grad for parameter in member.network.parameters())
    assert {parameter.dtype for parameter in member.network.parameters()} == {torch.float32}
    if not isinstance(recipe, Probe):
        assert [row.epoch for row in member.curves] == [1, 2, 3]
        assert re.fullmatch(r"epochs, loss \d\.\d{3}, \d+ s left", told[-1][2])
        assert told[-1][:2] == (3, 3)


def test_trained_batch_norms_follow_the_images(view: TrainingView, pictures: Pictures) -> None:
    settings = Optimisation(epochs=8, learning_rate=3e-4, ema_decay=None)
    member = train(Full(**COMMON, backbone="resnet18", weights=RANDOM, optimisation=settings), view, pictures)
    assert int(weights(member)["stages.1.0.bn1.num_batches_tracked"]) == 8 * 2
    assert member.curves[-1].train_loss < member.curves[0].train_loss


def test_the_same_seed_gives_the_same_network(view: TrainingView, pictures: Pictures) -> None:
    one, again = train(FINE_TUNE, view, pictures), train(FINE_TUNE, view, pictures)
    assert same(one, again)
    assert [row.train_loss for row in one.curves] == [row.train_loss for row in again.curves]
    assert not same(one, train(FINE_TUNE, view, pictures, seed=1))


def test_shared_activations_change_nothing(pictures: Pictures, view: TrainingView) -> None:
    shared = ActivationCache()
    part = view.select(range(0, len(view), 2))
    train(FINE_TUNE, part, pictures, activations=shared)  # another member, with other company in its batches
    pictures.asked.clear()
    together = train(FINE_TUNE, view, pictures, activations=shared)
    assert set(pictures.asked).isdisjoint(part.sha256)
    assert same(together, train(FINE_TUNE, view, pictures))
    assert same(together, train(FINE_TUNE, view, pictures, activations=ActivationCache(max_bytes=100_000)))


class Killed(Exception):
    """What stands for a kill, between two epochs."""


@pytest.mark.parametrize("epoch", [1, 2])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_killed_training_goes_on_to_the_same_network(
    view: TrainingView, pictures: Pictures, tmp_path: Path, epoch: int, optimizer: str
) -> None:
    settings = FINE_TUNE.optimisation.model_copy(
        update={"optimizer": optimizer, "accumulate": 2, "patience": 2}
    )
    settings = settings.model_copy(update={"validation_fraction": 0.25})
    recipe = FINE_TUNE.model_copy(update={"optimisation": settings})

    def kill(done: int, total: int | None, text: str) -> None:
        if ", loss " in text and done == epoch:
            raise Killed

    with pytest.raises(Killed):
        train(recipe, view, pictures, checkpoint_dir=tmp_path, progress=kill)
    resumed: list[str] = []
    member = train(
        recipe, view, pictures, checkpoint_dir=tmp_path, progress=lambda _, __, text: resumed.append(text)
    )
    undisturbed = train(recipe, view, pictures)
    assert len([text for text in resumed if ", loss " in text]) == 3 - epoch
    assert same(member, undisturbed)
    assert [row.validation_loss for row in member.curves] == [
        row.validation_loss for row in undisturbed.curves
    ]
    assert not list(tmp_path.iterdir())


def test_runs_are_averaged_and_a_kill_between_them_changes_nothing(
    view: TrainingView, pictures: Pictures, tmp_path: Path
) -> None:
    settings = Optimisation(epochs=2, runs=2)
    recipe = FINE_TUNE.model_copy(update={"optimisation": settings})

    def kill(done: int, total: int | None, text: str) -> None:
        if ", loss " in text and done == 3:
            raise Killed

    with pytest.raises(Killed):
        train(recipe, view, pictures, checkpoint_dir=tmp_path, progress=kill)
    kept = [
        torch.load(tmp_path / f"run-{run}" / "checkpoint.pt", weights_only=True)["state"] for run in (0, 1)
    ]
    told: list[tuple[int, int | None]] = []

    def note(done: int, total: int | None, text: str) -> None:
        if ", loss " in text:
            told.append((done, total))

    member = train(recipe, view, pictures, checkpoint_dir=tmp_path, progress=note)
    assert told == [(4, 4)]
    assert [row.epoch for row in member.curves] == [1, 2, 3, 4]
    assert same(member, train(recipe, view, pictures))
    assert not list(tmp_path.iterdir())
    first = train(FINE_TUNE.model_copy(update={"optimisation": Optimisation(epochs=2)}), view, pictures)
    assert torch.equal(weights(first)["head.weight"], kept[0]["average"]["head.weight"])
    assert not same(member, first)
    with pytest.raises(ValueError, match="need batch_norm frozen"):
        Full(**COMMON, optimisation=settings)


def test_patience_keeps_the_best_epoch_and_stops(view: TrainingView, pictures: Pictures) -> None:
    settings = Optimisation(
        epochs=12, learning_rate=0.3, optimizer="sgd", ema_decay=None, validation_fraction=0.25, patience=2,
        schedule="constant", gradient_norm=1.0,
    )  # fmt: skip
    member = train(FINE_TUNE.model_copy(update={"optimisation": settings}), view, pictures)
    losses = [row.validation_loss for row in member.curves]
    assert all(loss is not None for loss in losses)
    best = int(np.argmin(np.array(losses, dtype=float)))
    assert len(losses) == min(12, best + 1 + 2)
    assert all(row.validation_auc is not None and 0 <= row.validation_auc <= 1 for row in member.curves)


@pytest.mark.parametrize(
    "backbone", ["resnet18", "densenet121", pytest.param("vit_b_16", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("kind", [FineTune, Full])
def test_other_families_train_only_what_they_should(
    backbone: str, kind: type[FineTune] | type[Full], view: TrainingView, pictures: Pictures
) -> None:
    settings = Optimisation(epochs=1, batch_size=12)
    recipe = kind.model_validate(
        {
            **COMMON,
            "backbone": backbone,
            "weights": RANDOM,
            "optimisation": settings,
            "probe_views": 1,
            "batch_norm": "frozen",
        }
    )
    few = view.select(range(12))
    start = train(Probe(**COMMON, backbone=backbone, weights=RANDOM), few, pictures)
    member = train(recipe, few, pictures)
    frozen = member.network.spec.early_stages if kind is FineTune else 0
    before, after = weights(start), weights(member)
    for key, value in before.items():
        stage = int(key.split(".")[1]) if key.startswith("stages.") else 99
        moved = not torch.equal(value, after[key])
        if stage < frozen or "running" in key or "num_batches" in key:
            assert not moved, key
        elif key.endswith("weight") and value.ndim > 1:
            assert moved, key


def test_memory_that_does_not_suffice_halves_the_batch(
    view: TrainingView, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cramped(Tail):
        """A device that holds six images."""

        def forward(self, maps: Tensor) -> Tensor:
            if len(maps) > self.room:
                raise torch.OutOfMemoryError
            return super().forward(maps)

        room = 6

    undisturbed = train(FINE_TUNE, view, pictures)
    monkeypatch.setattr(tasks.training.loop, "Tail", Cramped)
    member = train(FINE_TUNE, view, pictures)
    assert member.notes == [
        "out of memory: batches are now computed 8 images at a time",
        "out of memory: batches are now computed 4 images at a time",
    ]
    assert member.curves[-1].train_loss == pytest.approx(undisturbed.curves[-1].train_loss, rel=0.05)
    monkeypatch.setattr(Cramped, "room", 0)
    with pytest.raises(TrainingError, match="one image of this size"):
        train(FINE_TUNE, view, pictures)


def test_a_loss_that_is_not_finite_stops_the_run(view: TrainingView, pictures: Pictures) -> None:
    settings = Optimisation(epochs=6, learning_rate=1.0, optimizer="sgd", momentum=0.99, ema_decay=None)
    recipe = FINE_TUNE.model_copy(
        update={"optimisation": settings, "weights": RANDOM, "backbone": "resnet18", "probe_views": 0}
    )
    with pytest.raises(TrainingError, match="not finite in epoch"):
        train(recipe, view, pictures)


def test_too_many_frozen_stages_are_refused(view: TrainingView, pictures: Pictures) -> None:
    with pytest.raises(ConfigError, match="frozen_stages 40: efficientnet_lite0 has 8 stages"):
        train(FINE_TUNE.model_copy(update={"frozen_stages": 40}), view, pictures)
