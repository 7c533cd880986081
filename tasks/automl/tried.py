"""One recipe of a search, as the leaderboard shows it."""

from collections.abc import Collection, Iterable
from typing import Any, Literal

from pydantic import Field

from tasks.record import Frozen


class CurvePoint(Frozen):
    """A point of a recipe's training curve, averaged over its trainings."""

    epoch: int = Field(ge=1, description="Passes over the images so far.")
    train_loss: float = Field(description="Mean loss.")


class Tried(Frozen):
    """One recipe of a search."""

    number: int = Field(ge=1, description="In the order of trying.")
    kind: Literal["probe", "fine_tune"] = Field(description="A linear head, or fine-tuning.")
    backbone: str = Field(description="Pretrained network.")
    size_px: int = Field(description="Side of its square.")
    values: dict[str, Any] = Field(description="What the search chose for it.")
    state: Literal["tried", "stopped early", "survivor", "failed"] = Field(
        description="tried: a probe. stopped early: only its first epochs were trained. survivor: trained to its end."
    )
    epochs: int = Field(ge=0, description="Epochs trained.")
    score: float | None = Field(description="The figure, over all inner folds; None where it failed.")
    lower: float | None = Field(description="Lower end of its 95 % interval.")
    upper: float | None = Field(description="Upper end.")
    images: int = Field(ge=0, description="Distinct images that the figure rests on.")
    trainings: int = Field(ge=0, description="Networks that were trained for it.")
    seconds: float = Field(ge=0, description="What they took.")
    finished_at_seconds: float = Field(ge=0, description="Seconds of the search until its last figure.")
    chosen_for: tuple[int, ...] = Field(default=(), description="Folds whose search chose it.")
    reason: str | None = Field(default=None, description="Why it failed.")
    curve: tuple[CurvePoint, ...] = Field(default=(), description="Its training curve.")

    def settings(self, names: Collection[str]) -> str:
        """How the image is prepared, and the values of these names, in words."""
        base = str(self.values.get("base", "")).removeprefix(f"{self.backbone} ")
        told = [
            f"{name.replace('_', ' ')} {value:.2g}"
            if isinstance(value, float)
            else f"{name.replace('_', ' ')} {value}"
            for name, value in self.values.items()
            if name in names
        ]
        return ", ".join([base, *told])


def telling(rows: Iterable[Tried]) -> frozenset[str]:
    """Names of the values in which fine-tuned recipes differ, beside the base."""
    seen: dict[str, set[str]] = {}
    for row in rows:
        for name, value in row.values.items():
            seen.setdefault(name, set()).add(str(value))
    return frozenset(name for name, values in seen.items() if len(values) > 1 and name != "base")
