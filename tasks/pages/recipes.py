"""What the report says of the networks' recipes where they differ."""

from collections.abc import Mapping

import pandas as pd

from tasks.training.recipes import Recipe


def differing_recipes(recipes: Mapping[str, Recipe]) -> dict[str, str]:
    """By network the settings in which the recipes differ; nothing where none do."""
    told = [recipe.model_dump(mode="json") for recipe in recipes.values()]
    settings = pd.json_normalize(told, sep=" ").astype(str)
    settings.columns = settings.columns.str.replace("_", " ")
    differing = settings.loc[:, settings.nunique() > 1]
    if differing.empty:
        return {}
    return {
        f"Recipe of {name}": ", ".join(
            f"{setting} {value}" for setting, value in row.items() if value != "nan"
        )
        for name, (_, row) in zip(recipes, differing.iterrows(), strict=True)
    }
