"""Scope: what one search is about, and what follows from that alone."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.automl.settings import SearchSettings
from tasks.automl.space import Base
from tasks.automl.units import Unit, units_for
from tasks.data.settings import Protocol
from tasks.data.training_view import MemberPlan, plan_members
from tasks.evaluation.out_of_fold import reported_folds
from tasks.training.recipes import FineTune


@dataclass(frozen=True)
class SearchScope:
    """The images as far as a search knows them, where it begins, and what it may do.

    `contents` counts distinct images; `positive` is the index of the positive class. `root` is the preset's recipe,
    `bases` are tried in their order. `refit`: one more network than members is trained in the end. `earlier` holds
    values of recipes that earlier searches chose, by fold.
    """

    protocol: Protocol
    n_folds: int
    positive: int | None
    contents: int
    root: FineTune
    bases: tuple[Base, ...]
    settings: SearchSettings
    seed: int
    refit: bool
    earlier: Mapping[int, Sequence[Mapping[str, Any]]] = field(default_factory=dict)

    @property
    def folds(self) -> list[int]:
        """The folds that have a search of their own, ascending: those that the figures cover."""
        return sorted(reported_folds(self.protocol, self.n_folds))

    @property
    def plans(self) -> tuple[MemberPlan, ...]:
        """The members that are trained by what is chosen."""
        return plan_members(self.protocol, self.n_folds)

    @property
    def n_networks(self) -> int:
        """How many networks are trained in the end."""
        return len(self.plans) + self.refit

    def units(self, folds: Iterable[int], *, everywhere: bool = False) -> list[Unit]:
        """The trainings for some folds: on the inner folds that are asked for, or on all."""
        n_inner = None if everywhere else self.settings.inner_folds
        some = (unit for fold in folds for unit in units_for(self.protocol, self.n_folds, fold, n_inner))
        return list(dict.fromkeys(some))

    def first_epochs(self, recipe: FineTune) -> int:
        """After how many epochs a fine-tuning is first looked at."""
        return math.ceil(recipe.optimisation.epochs / self.settings.halving)

    def looked_at(self, recipe: FineTune, *, whole: bool) -> int:
        """The epochs after which a fine-tuning is asked: its first ones, or all."""
        return recipe.optimisation.epochs if whole else self.first_epochs(recipe)

    def epochs_between(self, recipe: FineTune, *, whole: bool) -> int:
        """What a training goes through until it is looked at first, or from there to its end."""
        first = self.first_epochs(recipe)
        return max(1, recipe.optimisation.epochs - first) if whole else first
