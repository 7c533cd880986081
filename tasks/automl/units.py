"""Units: the trainings that a search is made of, each of which leaves out two folds.

The recipe for fold k may only be chosen by networks that never saw fold k. So each training of a search holds out
two folds {k, f}: what it says of fold f counts for the choice of fold k, and what it says of fold k for that of
fold f. Every fold thus has a search of its own, nested in the cross-validation (Varma & Simon 2006,
doi:10.1186/1471-2105-7-91), at the price of one training for two of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.data.settings import Protocol
from tasks.errors import LeakageError

Unit = frozenset[int]
"""The two folds that a training of a search holds out."""


@dataclass(frozen=True)
class Answers:
    """What one unit's network says of what it held out: logits (n, classes) of the contents of one fold."""

    sha256: tuple[str, ...]
    labels: NDArray[np.int64]
    groups: tuple[str, ...]
    logits: NDArray[np.float64]


def inner_folds(protocol: Protocol, n_folds: int, reported: int) -> tuple[int, ...]:
    """The folds that a reported fold's recipes are compared on, in the order in which they are drawn upon.

    Under cross-validation the neighbours on a ring come first: with two of them, n trainings serve n folds.
    """
    if protocol != "cross_validation":
        return tuple(fold for fold in range(n_folds) if fold != reported)
    ring: list[int] = []
    for step in range(1, n_folds // 2 + 1):
        ring += [(reported + step) % n_folds, (reported - step) % n_folds]
    return tuple(fold for fold in dict.fromkeys(ring) if fold != reported)


def units_for(
    protocol: Protocol, n_folds: int, reported: int, n_inner: int | None = None
) -> tuple[Unit, ...]:
    """The trainings whose answers choose the recipe of a reported fold; all, or those of the first inner folds."""
    return tuple(frozenset({reported, fold}) for fold in inner_folds(protocol, n_folds, reported)[:n_inner])


def asked_folds(protocol: Protocol, unit: Unit) -> tuple[int, ...]:
    """The folds that a unit's network is asked about: never a test fold that is set aside for the report."""
    return tuple(sorted(unit if protocol == "cross_validation" else unit - {0}))


def counts_for(
    reported: int, answers: Mapping[Unit, Mapping[int, Answers]], units: Sequence[Unit]
) -> list[Answers]:
    """What may count for the choice of a reported fold: of each of its units, the other fold's answers.

    Raises:
        LeakageError: a unit's network may have seen the reported fold.
    """
    for unit in units:
        if reported not in unit:
            raise LeakageError(
                f"the recipe of fold {reported} would be chosen by a network that saw it",
                cure="report this as a defect",
            )
    return [answers[unit][fold] for unit in units for fold in unit - {reported}]
