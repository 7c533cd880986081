"""The search of one reported fold: from scores that do not touch the fold to proposals, survivors and a choice."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from tasks.automl.settings import Sampling, SearchSpace
from tasks.automl.space import Base, base_of, proposed, recipe_of, starting_values, within
from tasks.errors import TrainingError
from tasks.training.recipes import FineTune

if TYPE_CHECKING:
    import optuna

Key = TypeVar("Key")

STARTUP_TRIALS = 6
"""Random proposals before the Parzen estimator has enough to go by; all folds draw the same ones."""

_TRIES = 8
"""Proposals in a row that were tried before, after which the space counts as exhausted."""


@dataclass(frozen=True)
class Candidate:
    """A fine-tuning that was proposed: its values and the recipe that they stand for."""

    values: Mapping[str, Any]
    recipe: FineTune


Proposals = Mapping[int, Sequence[Candidate]]
"""What each fold's search proposes."""


class FoldSearch:
    """Scores in, proposals out. Deterministic: the same scores in the same order give the same proposals."""

    def __init__(
        self,
        fold: int,
        space: SearchSpace,
        root: FineTune,
        *,
        sampling: Sampling,
        seed: int,
        n_bases: int,
        earlier: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        import optuna

        self.fold = fold
        self._space, self._root, self._n_bases, self._earlier = space, root, n_bases, earlier
        self._probed: dict[Base, float] = {}
        self._own = base_of(root)
        self._bases: tuple[Base, ...] = ()
        self._asked: dict[FineTune, optuna.Trial] = {}
        self._short: dict[FineTune, float] = {}
        self._full: dict[FineTune, float] = {}
        self._candidates: dict[FineTune, Candidate] = {}
        sampler: optuna.samplers.BaseSampler = (
            optuna.samplers.RandomSampler(seed=seed)
            if sampling == "random"
            else optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
        )
        self._study = optuna.create_study(direction="maximize", sampler=sampler)

    def probed(self, base: Base, score: float) -> None:
        """Tell what a linear head on a base reached."""
        self._probed[base] = score

    def close_probing(self) -> None:
        """Keep the best bases for fine-tuning, and the preset's own.

        The preset itself is proposed first, then what earlier searches chose, then its settings on the other bases.

        Raises:
            TrainingError: no base could be probed.
        """
        ranked = _ranked(self._probed)
        if not ranked:
            raise TrainingError(
                f"no base could be probed for fold {self.fold}",
                cure="see the leaderboard for what failed, and give more minutes",
            )
        own = [base for base in ranked[self._n_bases :] if base == self._own]
        self.open([*ranked[: self._n_bases], *own])
        named = {base.name for base in self._bases}
        if self._own in self._bases:
            self._enqueue(starting_values(self._own, self._root, self._space))
        for values in self._earlier:
            if values["base"] in named:
                self._enqueue(within(values, self._space, self._root, self._bases))
        for base in self._bases:
            self._enqueue({**starting_values(base, self._root, self._space), "base": base.name})

    def open(self, bases: Sequence[Base]) -> None:
        """Propose fine-tunings of these bases."""
        self._bases = tuple(bases)

    def propose(self, n: int) -> list[Candidate]:
        """Up to `n` fine-tunings that were not proposed before; fewer where the space is exhausted."""
        found: list[Candidate] = []
        tries = 0
        while len(found) < n and tries < _TRIES:
            trial = self._study.ask()
            values = proposed(trial, self._space, self._root, self._bases)
            candidate = Candidate(values, recipe_of(values, self._root, self._bases))
            if candidate.recipe in self._candidates:
                known = self._short.get(candidate.recipe, math.nan)
                self._tell(trial, known)
                tries += 1
                continue
            tries = 0
            self._candidates[candidate.recipe] = candidate
            self._asked[candidate.recipe] = trial
            found.append(candidate)
        return found

    def trained(self, recipe: FineTune, score: float, *, whole: bool) -> None:
        """Tell what a fine-tuning reached: after its first epochs, or at its end."""
        if whole:
            self._full[recipe] = score
            return
        self._short[recipe] = score
        self._tell(self._asked.pop(recipe), score)

    @property
    def tried(self) -> int:
        """How many fine-tunings it was told of."""
        return len(self._short)

    @property
    def preset(self) -> Candidate | None:
        """The preset itself, where the space holds it and its first epochs were trained."""
        if self._own not in self._bases:
            return None
        values = starting_values(self._own, self._root, self._space)
        recipe = recipe_of(values, self._root, self._bases)
        return self._candidates.get(recipe) if not math.isnan(self._short.get(recipe, math.nan)) else None

    def survivors(self, n: int) -> list[Candidate]:
        """What is trained to its end: the preset, and the `n` others that reached most in their first epochs."""
        others = [self._candidates[recipe] for recipe in _ranked(self._short)]
        preset = self.preset
        return [*([preset] if preset else []), *(one for one in others if one != preset)][: n + bool(preset)]

    def choice(self) -> Candidate | Base:
        """The best that was tried to its end; without such, the best of the first epochs.

        A probe wins where it is better, or where nothing else was trained.

        Raises:
            TrainingError: nothing could be trained.
        """
        tuned = self._full or self._short
        best = _best(tuned)
        probe = _best(self._probed) if "probe" in self._space.kinds else None
        if best is not None and (probe is None or tuned[best] >= self._probed[probe]):
            return self._candidates[best]
        if probe is not None:
            return probe
        raise TrainingError(
            f"nothing could be trained for fold {self.fold} within the budget",
            cure="give more minutes or trials, or a smaller search space",
        )

    def _enqueue(self, values: Mapping[str, Any]) -> None:
        self._study.enqueue_trial(dict(values), skip_if_exists=True)

    def _tell(self, trial: "optuna.Trial", score: float) -> None:
        if math.isnan(score):
            from optuna.trial import TrialState

            self._study.tell(trial, state=TrialState.FAIL)
        else:
            self._study.tell(trial, score)


def _best(scores: Mapping[Key, float]) -> Key | None:
    return next(iter(_ranked(scores)), None)


def _ranked(scores: Mapping[Key, float]) -> list[Key]:
    """Best first, equal ones in the order in which they were tried; failed ones are left out."""
    return sorted((key for key in scores if not math.isnan(scores[key])), key=lambda key: -scores[key])
