"""Chosen: which recipe each member of a model is trained by, and which is served."""

from pydantic import Field

from tasks.automl.objective import Objective
from tasks.automl.tried import Tried
from tasks.images.settings import Preprocessing
from tasks.record import FileReference, Record
from tasks.training.recipes import Recipe


class ChosenRecipes(Record):
    """A recipe for each member, and the one that a refit is trained by."""

    members: tuple[Recipe, ...] = Field(min_length=1, description="By index of the member.")
    served: Recipe = Field(description="The recipe of what is served.")

    @classmethod
    def same(cls, recipe: Recipe, n_members: int) -> "ChosenRecipes":
        """One recipe for all."""
        return cls(members=(recipe,) * n_members, served=recipe)

    @property
    def preprocessings(self) -> tuple[Preprocessing, ...]:
        """How images are prepared for them, each way once, the served one's first."""
        return tuple(dict.fromkeys(recipe.preprocessing for recipe in (self.served, *self.members)))


class SearchResult(Record):
    """What was tried, and what each fold's search chose."""

    chosen: ChosenRecipes = Field(description="A recipe for each member, and the one that is served.")
    leaderboard: tuple[Tried, ...] = Field(description="Every recipe that was tried, best first.")
    objective: Objective = Field(description="The figure that was optimised.")
    seconds: float = Field(ge=0, description="What the search took, with earlier attempts.")
    file: FileReference = Field(description="The leaderboard as JSON.")

    def in_words(self) -> str:
        """How many recipes were tried."""
        return f"{len(self.leaderboard)} recipes tried in {self.seconds / 60:.1f} minutes"

    @property
    def best_score(self) -> float | None:
        """The best figure of the leaderboard, over the very images that chose it."""
        return next((row.score for row in self.leaderboard if row.score is not None), None)
