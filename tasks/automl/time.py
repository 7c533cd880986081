"""The time of a search: what is left of it, what trainings take, and which of them fit beside those of the members."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from tasks.automl.fold_search import Candidate, Proposals
from tasks.automl.scope import SearchScope
from tasks.automl.space import Base, base_of
from tasks.automl.units import Unit
from tasks.errors import ConfigError
from tasks.training.recipes import FineTune, Probe

LEAST_SHARE = 0.25
"""Of a forward pass through the whole network, what a step costs an image at the least: frozen stages run once a view,
and a machine that is busy now may be idle later."""

TOLERANCE = 0.05
"""Of the budget, by which the members may be expected to overdraw it: half of what it is kept within."""


@dataclass(frozen=True)
class Step:
    """A part of a training on a base: its first epochs or the rest, with or without scoring what it left out."""

    base: Base
    rest: bool
    scored: bool


class Budget:
    """Minutes on a clock, less what earlier attempts at the same search have used; estimates from what was measured."""

    def __init__(self, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = minutes * 60
        """What was asked for."""
        self._clock, self._began, self._earlier = clock, clock(), 0.0
        self.costs: dict[Step | Base, float] = {}
        """Seconds that an epoch of a step, or a linear head on a base, is expected to take, where one was measured."""

    @property
    def used_seconds(self) -> float:
        """So far, with earlier attempts."""
        return self._clock() - self._began + self._earlier

    @property
    def left_seconds(self) -> float:
        """What remains; below 0 when it is overdrawn."""
        return self.seconds - self.used_seconds

    def add_earlier(self, seconds: float) -> None:
        """Count what an earlier attempt spent on a result that is now reused."""
        self._earlier += seconds

    def measured(self, what: Step | Base, seconds: float) -> None:
        """Note what something took; the slower half of what was seen is expected of the next."""
        known = self.costs.get(what)
        self.costs[what] = seconds if known is None else max(seconds, 0.5 * (known + seconds))


class Needed(Protocol):
    """Says which trainings proposals need that are not there yet."""

    def __call__(self, proposals: Proposals, *, whole: bool) -> Sequence[tuple[Candidate, Unit]]:
        """To their first look, or to their end."""


class SearchTime:
    """The budget of a search whose choices train members in the end, each as often as the preset says."""

    def __init__(
        self, scope: SearchScope, budget: Budget, needed: Needed, seconds_an_image: Callable[[Base], float]
    ) -> None:
        self._scope, self._budget, self._needed = scope, budget, needed
        self._seconds_an_image = seconds_an_image

    def check_budget(self) -> None:
        """Refuse a budget in which not one recipe can be fine-tuned, before anything is trained.

        Raises:
            ConfigError: it is smaller than what one fine-tuning and the members take at the very least.
        """
        scope, base = self._scope, self._scope.bases[0]
        optimisation = scope.root.optimisation
        rounds = scope.contents * len(scope.units(scope.folds)) * scope.first_epochs(scope.root)
        rounds += scope.contents * scope.n_networks * optimisation.epochs * optimisation.runs
        least = rounds * LEAST_SHARE * self._seconds_an_image(base) / scope.settings.max_concurrent_trials
        if least > self._budget.seconds:
            raise ConfigError(
                f"a search of {scope.settings.minutes:g} minutes is too short: one fine-tuning of {base.backbone} for "
                f"the search and the training of {scope.n_networks} networks take more than {least / 60:.1f} here",
                cure=f"give {math.ceil(3 * least / 60)} minutes or more, or use preset fast",
            )

    def begun(self, wanted: Proposals, members: float, finish: float) -> Proposals:
        """As many folds' candidates, in their order, as can be begun.

        They must leave time for the members, in seconds, and to train to their end either them or what is best so far,
        which takes `finish`: what is not cannot be chosen.
        """
        return self._fitting(
            wanted,
            lambda some: (
                self.seconds(some, whole=False) + max(self.seconds(some, whole=True), finish) + members
            ),
        )

    def finished(self, wanted: Proposals, members: float) -> Proposals:
        """As many folds' candidates, in their order, as can be trained to their end and leave time for the members."""
        return self._fitting(wanted, lambda some: self.seconds(some, whole=True) + members)

    def _fitting(self, wanted: Proposals, seconds: Callable[[Proposals], float]) -> Proposals:
        some: dict[int, Sequence[Candidate]] = {}
        for fold, candidates in wanted.items():
            more = {**some, fold: candidates}
            if candidates and seconds(more) < self._budget.left_seconds:
                some = more
        return some

    def seconds(self, proposals: Proposals, *, whole: bool) -> float:
        """What their first epochs are expected to take, or from there to their end; 0 before anything was measured."""
        return self._expected((one.recipe for one, _ in self._needed(proposals, whole=whole)), whole=whole)

    def _expected(self, recipes: Iterable[FineTune], *, whole: bool) -> float:
        seconds = (
            self._scope.epochs_between(recipe, whole=whole)
            * self._epoch_seconds(Step(base_of(recipe), rest=whole, scored=True))
            for recipe in recipes
        )
        return sum(seconds) / self._scope.settings.max_concurrent_trials

    def members_seconds(self, chosen: Sequence[FineTune | Probe], runs: int) -> float:
        """What training all members is expected to take, `runs` times each, of the recipes that each fold would choose.

        They learn from more images than the networks of the search did, one after another.
        """
        a_network = float(np.mean([self.member_seconds(recipe, runs) for recipe in chosen]))
        n_folds = self._scope.n_folds
        return self._scope.n_networks * a_network * (n_folds - 1) / max(1, n_folds - 2)

    def member_seconds(self, recipe: FineTune | Probe, runs: int) -> float:
        """Seconds that training and training again by a recipe that was tried is expected to take, without scoring.

        Only the first time are the activations of its frozen stages computed.
        """
        if isinstance(recipe, Probe):
            return self._budget.costs[base_of(recipe)]
        first = self._scope.first_epochs(recipe)
        in_first, in_rest = (
            self._epoch_seconds(Step(base_of(recipe), rest=rest, scored=False)) for rest in (False, True)
        )
        return first * in_first + (runs * recipe.optimisation.epochs - first) * in_rest

    def affordable_runs(self, chosen: Sequence[FineTune | Probe]) -> int:
        """As many of the preset's repeated trainings as the rest of the budget holds, at least one."""
        left = self._budget.left_seconds + TOLERANCE * self._budget.seconds
        some = range(2, self._scope.root.optimisation.runs + 1)
        return max([1, *(runs for runs in some if self.members_seconds(chosen, runs) < left)])

    def _epoch_seconds(self, step: Step) -> float:
        """Of one epoch. A base that was not trained yet is expected to take as much more as its forward pass does."""
        costs = self._budget.costs
        for known in (step, replace(step, rest=not step.rest)):
            if known in costs:
                return costs[known]
        others = {replace(step, base=known.base) for known in costs if isinstance(known, Step)} - {step}
        return max(
            (self._epoch_seconds(other) * self._forward_ratio(step.base, other.base) for other in others),
            default=0.0,
        )

    def _forward_ratio(self, base: Base, other: Base) -> float:
        return self._seconds_an_image(base) / self._seconds_an_image(other)
