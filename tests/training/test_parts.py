"""The parts of a training, each against what it replaces or promises."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tasks.data.grouped_splits import grouped_splits
from tasks.errors import ConfigError
from tasks.training.checkpoint import FILE, drop_checkpoint, load_checkpoint, save_checkpoint
from tasks.training.depthwise import FrozenDepthwise, freeze_depthwise
from tasks.training.device import compute_on
from tasks.training.optimisation import MovingAverage, class_weights, rate_factor, summed_loss
from tasks.training.probe import fit_head
from tasks.training.recipes import PRESETS, RECIPE, FineTune, Full, Optimisation, Probe, within_symmetry


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.sampled_from([1, 3, 5]), st.integers(1, 2), st.booleans(), st.integers(6, 15))
def test_frozen_depthwise_is_the_convolution_and_its_gradient(
    channels: int, side: int, stride: int, same: bool, size: int
) -> None:
    from timm.layers.conv2d_same import Conv2dSame

    torch.manual_seed(0)
    kind, padding = (Conv2dSame, 0) if same else (nn.Conv2d, side // 2)
    conv = kind(channels + 1, channels + 1, side, stride, padding, groups=channels + 1)
    frozen = FrozenDepthwise(conv)
    images = torch.randn(2, channels + 1, size, size + 1, requires_grad=True)
    copy = images.detach().clone().requires_grad_(True)
    expected, answer = conv(images), frozen(copy)
    torch.testing.assert_close(answer, expected)
    weight = torch.randn_like(expected)
    torch.autograd.backward((expected * weight).sum())
    torch.autograd.backward((answer * weight).sum())
    torch.testing.assert_close(copy.grad, images.grad)
    assert frozen.weight.grad is None
    assert frozen.state_dict().keys() == conv.state_dict().keys()


def test_only_depthwise_convolutions_are_frozen() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Sequential(nn.Conv2d(8, 8, 3, groups=8)), nn.Conv2d(8, 8, 1, groups=2)
    )
    freeze_depthwise(net)
    kinds = [type(module).__name__ for module in net.modules() if not isinstance(module, nn.Sequential)]
    assert kinds == ["Conv2d", "FrozenDepthwise", "Conv2d"]


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


def test_no_group_is_on_both_sides_of_an_inner_fold() -> None:
    _, labels, groups = separable()
    for train, test in grouped_splits(labels, groups, 4, seed=3):
        assert {groups[i] for i in train}.isdisjoint(groups[i] for i in test)
        assert set(labels[test]) == {0, 1}


def test_a_checkpoint_is_for_its_own_training_only(tmp_path: Path) -> None:
    state = {"step": 3, "values": torch.arange(4)}
    save_checkpoint(tmp_path / "member", "mine", state)
    found = load_checkpoint(tmp_path / "member", "mine")
    assert found is not None
    assert found["step"] == 3
    assert torch.equal(found["values"], torch.arange(4))
    assert load_checkpoint(tmp_path / "member", "another") is None
    assert [path.name for path in (tmp_path / "member").iterdir()] == [FILE]
    whole = (tmp_path / "member" / FILE).read_bytes()
    (tmp_path / "member" / FILE).write_bytes(whole[: len(whole) // 2])
    assert load_checkpoint(tmp_path / "member", "mine") is None
    drop_checkpoint(tmp_path / "member")
    assert load_checkpoint(tmp_path / "member", "mine") is None


def test_devices() -> None:
    assert compute_on("cpu").device.type == "cpu"
    assert compute_on("cpu").dtype in {torch.bfloat16, torch.float32}
    with pytest.raises(ConfigError, match="'tpu' is unknown"):
        compute_on("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no CUDA device"):
            compute_on("cuda")


def test_recipes_survive_json_and_refuse_unknown_keys() -> None:
    for recipe in (*PRESETS.values(), Probe(), FineTune(), Full()):
        assert RECIPE.validate_json(recipe.model_dump_json()) == recipe
    with pytest.raises(ValueError, match="extra_forbidden"):
        RECIPE.validate_python({"kind": "probe", "epochs": 3})
    with pytest.raises(ValueError, match="less_than_equal"):
        Optimisation(epochs=10_000)


def test_a_recipe_is_kept_within_what_leaves_the_meaning_alone() -> None:
    recipe = PRESETS["standard"]
    assert within_symmetry(recipe, "any") == recipe
    mirror, none = within_symmetry(recipe, "mirror"), within_symmetry(recipe, "none")
    assert mirror.test_views == ("identity", "hflip")
    assert none.test_views == ("identity",)
    assert (mirror.transforms.random_horizontal_flip, none.transforms.random_horizontal_flip) == (0.5, 0.0)
    for limited in (mirror, none):
        assert limited.transforms.random_vertical_flip == 0.0
        assert limited.transforms.random_affine is not None
        assert limited.transforms.random_affine.degrees == 15.0
        assert limited.transforms.color_jitter == recipe.transforms.color_jitter
        assert RECIPE.validate_json(limited.model_dump_json()) == limited
