"""What the report says of the networks' recipes where they differ."""

import pandas as pd

from tasks.fine_tune import TrainedMembers


def differing_recipes(trained: TrainedMembers) -> dict[str, str]:
    """By network the settings in which the recipes differ; nothing where none do."""
    networks = trained.networks
    recipes = [network.recipe.model_dump(mode="json") for network in networks.values()]
    settings = pd.json_normalize(recipes, sep=" ").astype(str)
    settings.columns = settings.columns.str.replace("_", " ")
    differing = settings.loc[:, settings.nunique() > 1]
    if differing.empty:
        return {}
    return {
        f"Recipe of {name}": ", ".join(
            f"{setting} {value}" for setting, value in row.items() if value != "nan"
        )
        for name, (_, row) in zip(networks, differing.iterrows(), strict=True)
    }
