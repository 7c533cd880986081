"""How often the same images have judged: models that are no better pass sooner or later, if they may try for ever."""

from typing import Final

from pydantic import Field

from tasks.record import Frozen

SHARES: Final = 12
"""Parts of the allowance of which each comparison spends one; beyond twice as many models the parts get smaller.

Twenty comparisons spend more than the allowance in sum, yet promote less often than it: they are made on much the same
images, and with the same champion. `benchmarks/promotion.py` plays histories of twenty.
"""


class Looks(Frozen):
    """What the images of a data set were asked before a model is judged on them."""

    models: int = Field(default=0, ge=0, description="Other models that were judged on them.")
    searches: int = Field(
        default=0,
        ge=0,
        description="Searches that are kept; their choices never saw the images they are reported on.",
    )

    def level(self, false_promotions: float) -> float:
        """The one-sided level of the comparison that comes next, of what is allowed over ten years."""
        return false_promotions / max(SHARES, self.models / 2)

    def in_words(self) -> list[str]:
        """For the reasons of a decision; empty of images that are asked for the first time."""
        if not self.models and not self.searches:
            return []
        models = f"{self.models} other model{'' if self.models == 1 else 's'}"
        searches = f" and {self.searches} search{'' if self.searches == 1 else 'es'}" if self.searches else ""
        verb = "was" if self.models == 1 and not self.searches else "were"
        return [
            f"{models}{searches} {verb} judged on images of this data set before: the best of many tries looks better "
            "than it is, so a comparison is stricter the more there were"
        ]
