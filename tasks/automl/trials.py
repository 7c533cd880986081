"""What a search knows of each recipe that it tries, and the leaderboard of them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from tasks.automl.leaderboard import estimated, mean_curve
from tasks.automl.objective import Objective
from tasks.automl.tried import Tried
from tasks.automl.units import Answers, Unit, counts_for
from tasks.training.recipes import FineTune, Probe


class Trial:
    """A recipe that is being tried."""

    def __init__(self, number: int, recipe: FineTune | Probe, values: Mapping[str, Any]) -> None:
        self.number, self.recipe, self.values = number, recipe, values
        self.answers: dict[int, dict[Unit, Mapping[int, Answers]]] = {}
        self.curves: dict[Unit, list[dict[str, float]]] = {}
        self.seconds, self.trainings, self.finished_at = 0.0, 0, 0.0
        self.reason: str | None = None

    @property
    def all_answers(self) -> list[Answers]:
        """What its furthest networks say of all that they held out."""
        return [part for unit in self.answers.get(self.epochs, {}).values() for part in unit.values()]

    @property
    def epochs(self) -> int:
        """The most epochs that any of its networks was trained."""
        return max(self.answers, default=0)

    @property
    def state(self) -> Literal["tried", "stopped early", "survivor", "failed"]:
        """How far it came."""
        if self.reason is not None or not self.answers:
            return "failed"
        if isinstance(self.recipe, Probe):
            return "tried"
        return "survivor" if self.epochs == self.recipe.optimisation.epochs else "stopped early"

    def counts(self, fold: int, units: Sequence[Unit], epochs: int) -> list[Answers]:
        """What may count for a fold's choice."""
        return counts_for(fold, self.answers[epochs], units)


def leaderboard(
    trials: Iterable[Trial],
    chosen_for: Mapping[FineTune | Probe, Sequence[int]],
    objective: Objective,
    positive: int | None,
) -> list[Tried]:
    """Every recipe, best first, failed ones last."""
    rows = [_row(trial, tuple(chosen_for.get(trial.recipe, ())), objective, positive) for trial in trials]
    sign = 1 if objective.metric == "log_loss" else -1
    return sorted(rows, key=lambda row: math.inf if row.score is None else sign * row.score)


def _row(trial: Trial, chosen_for: tuple[int, ...], objective: Objective, positive: int | None) -> Tried:
    recipe, answers = trial.recipe, trial.all_answers
    score = lower = upper = None
    if answers:
        score, *ends = (objective.shown(end) for end in estimated(objective, answers, positive))
        lower, upper = sorted(ends)
    return Tried(
        number=trial.number,
        kind="probe" if isinstance(recipe, Probe) else "fine_tune",
        backbone=recipe.backbone,
        size_px=recipe.preprocessing.size_px,
        values=dict(trial.values),
        state=trial.state,
        epochs=trial.epochs,
        score=score,
        lower=lower,
        upper=upper,
        images=len({name for part in answers for name in part.sha256}),
        trainings=trial.trainings,
        seconds=trial.seconds,
        finished_at_seconds=trial.finished_at,
        chosen_for=chosen_for,
        reason=trial.reason,
        curve=mean_curve(list(trial.curves.values())),
    )
