"""The time of a search: what its trainings are expected to take, and which of them fit beside those of the members."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from tasks.automl.fold_search import Candidate
from tasks.automl.settings import SearchSettings
from tasks.automl.space import Base, probe_of
from tasks.automl.trainings import Proposals, Trainings
from tasks.errors import ConfigError
from tasks.training.probe_features import seconds_an_image
from tasks.training.recipes import FineTune, Probe

LEAST_SHARE = 0.25
"""Of a forward pass through the whole network, what a step costs an image at the least: frozen stages run once a view,
and a machine that is busy now may be idle later."""

TOLERANCE = 0.05
"""Of the budget, by which the members may be expected to overdraw it: half of what it is kept within."""


class SearchTime:
    """The budget of a search whose choices train `n_members` networks in the end, each as often as the preset says."""

    def __init__(
        self, trainings: Trainings, settings: SearchSettings, root: FineTune, *, n_members: int, n_folds: int
    ) -> None:
        self._trainings, self._settings, self._root = trainings, settings, root
        self._n_members, self._n_folds = n_members, n_folds

    def check_budget(self, base: Base, device: str) -> None:
        """Refuse a budget in which not one recipe can be fine-tuned, before anything is trained.

        Raises:
            ConfigError: it is smaller than what one fine-tuning and the members take at the very least.
        """
        n, optimisation = len(self._trainings.table.contents), self._root.optimisation
        units = len(self._trainings.units(self._trainings.folds))
        rounds = n * units * self._trainings.first_epochs(self._root)
        rounds += n * self._n_members * optimisation.epochs * optimisation.runs
        an_image = LEAST_SHARE * seconds_an_image(probe_of(base, self._root), device)
        least = rounds * an_image / self._settings.max_concurrent_trials
        if least > self._trainings.budget.seconds:
            raise ConfigError(
                f"a search of {self._settings.minutes:g} minutes is too short: one fine-tuning of {base.backbone} for "
                f"the search and the training of {self._n_members} networks take more than {least / 60:.1f} here",
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

    def seconds(self, proposals: Proposals, *, whole: bool) -> float:
        """What their first epochs are expected to take, or from there to their end."""
        return self._trainings.expected(self._trainings.needed(proposals, whole=whole), whole=whole)

    def _fitting(self, wanted: Proposals, seconds: Callable[[Proposals], float]) -> Proposals:
        some: dict[int, Sequence[Candidate]] = {}
        for fold, candidates in wanted.items():
            more = {**some, fold: candidates}
            if candidates and seconds(more) < self._trainings.budget.left_seconds:
                some = more
        return some

    def members_seconds(self, chosen: Sequence[FineTune | Probe], runs: int) -> float:
        """What training all members is expected to take, `runs` times each, of the recipes that each fold would choose.

        They learn from more images than the networks of the search did, one after another.
        """
        a_network = float(np.mean([self._trainings.expected_of_member(recipe, runs) for recipe in chosen]))
        return self._n_members * a_network * (self._n_folds - 1) / max(1, self._n_folds - 2)

    def affordable_runs(self, chosen: Sequence[FineTune | Probe]) -> int:
        """As many of the preset's repeated trainings as the rest of the budget holds, at least one."""
        budget = self._trainings.budget
        left = budget.left_seconds + TOLERANCE * budget.seconds
        some = range(2, self._root.optimisation.runs + 1)
        return max([1, *(runs for runs in some if self.members_seconds(chosen, runs) < left)])
