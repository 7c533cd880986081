"""The search space: what YAML may say, which bases it holds, and what values become."""

from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.automl.bases import bases_of
from tasks.automl.settings import Range, SearchSpace
from tasks.automl.space import (
    augmented,
    probe_of,
    proposed,
    read_space,
    recipe_of,
    starting_values,
    within,
)
from tasks.errors import ConfigError
from tasks.training.backbones import BACKBONES
from tasks.training.recipes import PRESETS, FineTune, WeightsChoice

optuna.logging.set_verbosity(optuna.logging.WARNING)


def root() -> FineTune:
    recipe = PRESETS["standard"]
    assert isinstance(recipe, FineTune)
    return recipe


def test_each_backbone_comes_once_before_any_comes_twice() -> None:
    bases = bases_of(SearchSpace(sizes_px=(128, 224)), root())
    backbones = [base.backbone for base in bases]
    n = len(set(backbones))
    assert n >= 3
    assert len(set(backbones[:n])) == n
    assert len(set(bases)) == len(bases) == n * 2 * 2 * 2


def test_without_named_backbones_only_those_whose_weights_are_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    names = {base.backbone for base in bases_of(SearchSpace(), root())}
    assert names == {"efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"}


def test_a_backbone_without_weights_is_refused_before_anything_is_trained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    offline = root().model_copy(update={"weights": WeightsChoice(offline=True)})
    with pytest.raises(ConfigError, match="resnet18"):
        bases_of(SearchSpace(backbones=("resnet18",)), offline)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("backbones: [resnet19]", "backbones"),
        ("learning_rates: {low: 1, high: 2}", "learning_rates"),
        ("learning_rate: {low: 0.1, high: 0.01}", "above high"),
        ("backbones: []", "backbones"),
        ("", "holds no settings"),
        ("kinds: [probe", "search space"),
    ],
)
def test_a_wrong_file_is_told_by_name_and_field(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        read_space(path)
    assert str(path) in str(caught.value)


def test_a_file_narrows_the_space(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("backbones: [resnet18]\nlearning_rate: {low: 0.0001, high: 0.001}\nkinds: [fine_tune]\n")
    space = read_space(path)
    assert space.backbones == ("resnet18",)
    assert space.kinds == ("fine_tune",)
    with pytest.raises(ConfigError, match="missing"):
        read_space(tmp_path / "missing.yaml")


@given(seed=st.integers(0, 2**31 - 1), more=st.sampled_from([(0,), (0, 1, 2)]))
def test_every_proposal_is_a_recipe_within_the_space(seed: int, more: tuple[int, ...]) -> None:
    space = SearchSpace(more_frozen_stages=more, augmentation=("recipe", "light", "strong"), epochs=(2, 5))
    bases = bases_of(space, root())
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    recipe = recipe_of(proposed(study.ask(), space, root(), bases), root(), bases)
    settings = recipe.optimisation
    assert space.learning_rate.low <= settings.learning_rate <= space.learning_rate.high
    assert settings.epochs in (2, 5)
    assert settings.runs == 1
    assert 0 < (recipe.frozen_stages or 0) < BACKBONES[recipe.backbone].n_stages
    assert (recipe.backbone, recipe.preprocessing) in {(base.backbone, base.preprocessing) for base in bases}


def test_the_presets_own_settings_are_moved_into_the_space() -> None:
    space = SearchSpace(learning_rate=Range(low=1e-5, high=1e-4), label_smoothing=(0.0,), epochs=(3,))
    base = bases_of(space, root())[0]
    recipe = recipe_of(starting_values(base, root(), space), root(), [base])
    assert recipe.optimisation.learning_rate == 1e-4
    assert recipe.optimisation.label_smoothing == 0.0
    assert recipe.optimisation.epochs == 3


def test_values_of_another_search_keep_what_is_open_here() -> None:
    space = SearchSpace(class_weights=("none", "balanced"))
    bases = bases_of(space, root())
    values = starting_values(bases[1], root(), space) | {"learning_rate": 5e-4, "class_weights": "sqrt"}
    moved = within(values, space, root(), bases)
    assert moved["learning_rate"] == 5e-4
    assert moved["class_weights"] == "none"
    assert moved["base"] == bases[1].name


def test_augmentation_changes_sizes_and_never_meaning() -> None:
    plain = root().transforms
    for strength in ("light", "strong"):
        changed = augmented(plain, strength)
        assert changed.random_horizontal_flip == plain.random_horizontal_flip
        assert changed.random_vertical_flip == plain.random_vertical_flip
        assert changed.random_affine is not None and plain.random_affine is not None
        assert changed.random_affine.degrees == plain.random_affine.degrees
    assert augmented(plain, "light").random_affine != augmented(plain, "strong").random_affine


def test_a_probe_looks_at_images_as_they_are() -> None:
    probe = probe_of(bases_of(SearchSpace(), root())[0], root())
    assert probe.transforms.off
    assert probe.views == 1


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValidationError):
        Range(low=0, high=1)
