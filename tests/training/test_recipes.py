"""Recipes: their form, and what an image's meaning allows."""

import pytest

from tasks.training.recipes import PRESETS, RECIPE, FineTune, Full, Optimisation, Probe, within_symmetry


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
