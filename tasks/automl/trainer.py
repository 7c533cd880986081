"""Trainer: what a search asks for, whoever trains and wherever that is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tasks.automl.space import Base
from tasks.automl.units import Answers, Unit
from tasks.errors import TrainingError
from tasks.training.recipes import FineTune, Probe


@dataclass(frozen=True)
class Trained:
    """What networks of one recipe say of what they never saw: by the folds that each left out, by fold.

    `seconds` is what that took, with scoring where it was done now; `unscored_seconds` the training alone. `reused`:
    an earlier attempt had done it. `losses` is the mean loss by epoch, counted from 1.
    """

    answers: Mapping[Unit, Mapping[int, Answers]]
    seconds: float
    unscored_seconds: float
    reused: bool = False
    losses: Mapping[int, float] = field(default_factory=dict)


class Trainer(Protocol):
    """Trains networks that leave out the two folds of a unit, and asks them about these.

    A training that cannot go on is answered with its error; any other error is raised.
    """

    def probe(self, recipe: Probe, units: Sequence[Unit]) -> Trained | TrainingError:
        """Linear heads on one base, one for each unit."""

    def train(self, wanted: Sequence[tuple[FineTune, Unit, int]]) -> Sequence[Trained | TrainingError]:
        """Fine-tunings to an epoch, side by side, from where an earlier one of the same unit stopped."""

    def forget(self, recipe: FineTune, units: Iterable[Unit]) -> None:
        """These will not go on: what they would have gone on from may go."""

    def seconds_an_image(self, base: Base) -> float:
        """What a forward pass through a base takes for one image where the trainings run."""
