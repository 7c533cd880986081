"""The time of a search: what its trainings are expected to take, and which of them fit beside those of the members."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tasks.automl.fold_search import Candidate
from tasks.automl.space import Base, probe_of
from tasks.errors import ConfigError
from tasks.search_settings import SearchSettings
from tasks.search_trainings import Trainings
from tasks.training.probe_features import seconds_an_image
from tasks.training.recipes import FineTune, Probe

LEAST_SHARE = 0.25
"""Of a forward pass through the whole network, what a step costs an image at the least: frozen stages run once a view,
and a machine that is busy now may be idle later."""


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

    def fitting(
        self, wanted: Mapping[int, Sequence[Candidate]], *, whole: bool, reserved: float
    ) -> dict[int, Sequence[Candidate]]:
        """As many folds' candidates, in their order, as fit beside what is reserved, in seconds."""
        some: dict[int, Sequence[Candidate]] = {}
        for fold, candidates in wanted.items():
            more = {**some, fold: candidates}
            seconds = self._trainings.expected(self._trainings.needed(more, whole=whole), whole=whole)
            if candidates and seconds + reserved < self._trainings.budget.left_seconds:
                some = more
        return some

    def members_seconds(self, chosen: Sequence[FineTune | Probe]) -> float:
        """What training all members once is expected to take, of the recipes that each fold would choose now.

        They learn from more images than the networks of the search did, one after another.
        """
        a_network = float(np.mean([self._trainings.expected_alone(recipe) for recipe in chosen]))
        return self._n_members * a_network * (self._n_folds - 1) / max(1, self._n_folds - 2)

    def affordable_runs(self, chosen: Sequence[FineTune | Probe]) -> int:
        """As many of the preset's repeated trainings as the rest of the budget holds, at least one."""
        fitting = int(self._trainings.budget.left_seconds / max(self.members_seconds(chosen), 1e-9))
        return max(1, min(self._root.optimisation.runs, fitting))
