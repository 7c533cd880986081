"""What a model may learn from, by a type that cannot carry what it will be reported on.

A TrainingView is made from a catalogue and the folds it must not see, or from another TrainingView by
leaving something out. There is no third way, and each is checked when it is made.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.data.catalogue_table import CatalogueTable
from tasks.data.settings import Protocol
from tasks.errors import ConfigError, DataSetUnusable, LeakageError

_LEAST_FOLDS = {"cross_validation": 2, "holdout": 3, "given_split": 3}


@dataclass(frozen=True)
class MemberPlan:
    """One model of a run: its place, and the folds it never sees."""

    index: int
    held_out: frozenset[int]


def plan_members(protocol: Protocol, n_folds: int) -> tuple[MemberPlan, ...]:
    """The models that a protocol trains.

    - cross_validation: member k holds out fold k; together they report on all images.
    - holdout: one member holds out fold 0 (test) and fold 1 (validation).
    - given_split: members for k = 1..n_folds-1 hold out fold 0 (the given test set) and fold k
      (validation).

    Raises:
        ConfigError: too few folds for anything to be left to learn from.
    """
    least = _LEAST_FOLDS[protocol]
    if n_folds < least:
        raise ConfigError(
            f"n_folds={n_folds}, but protocol {protocol} needs at least {least}",
            cure=f"set n_folds={least} or more (--folds)",
        )
    if protocol == "cross_validation":
        held_out = [frozenset({fold}) for fold in range(n_folds)]
    elif protocol == "holdout":
        held_out = [frozenset({0, 1})]
    else:
        held_out = [frozenset({0, fold}) for fold in range(1, n_folds)]
    return tuple(MemberPlan(index, folds) for index, folds in enumerate(held_out))


@dataclass(frozen=True)
class HeldOutView:
    """The contents of one fold that may be reported on: no conflicts, none whose group touches another fold.

    `labels` is int64 (n,), indices into `classes`; rows are distinct contents by ascending digest.
    """

    sha256: tuple[str, ...]
    pixel_sha256: tuple[str, ...]
    labels: NDArray[np.int64]
    groups: tuple[str, ...]
    classes: tuple[str, ...]
    fold: int

    def __len__(self) -> int:
        return len(self.sha256)


def held_out_view(table: CatalogueTable, fold: int) -> HeldOutView:
    """What may be reported on in a fold."""
    _check_folds({fold}, table.n_folds)
    rows = table.contents[(table.contents["fold"] == fold) & (table.contents["straddles"] == "")]
    return HeldOutView(
        tuple(rows["sha256"]),
        tuple(rows["pixel_sha256"]),
        _class_indices(rows, table.classes),
        tuple(rows["group"]),
        table.classes,
        fold,
    )


class TrainingView:
    """Distinct contents to learn from, by ascending digest. Immutable.

    `labels` is int64 (n,), indices into `classes`, read-only; `groups` are the groups of copies; `held_out`
    are the folds that nothing here touches; `dataset_digest` names the catalogue.

    Conflicts are left out, and so is every content whose group touches a held-out fold.
    """

    __slots__ = (
        "classes",
        "dataset_digest",
        "folds",
        "groups",
        "held_out",
        "labels",
        "pixel_sha256",
        "sha256",
    )

    sha256: tuple[str, ...]
    pixel_sha256: tuple[str, ...]
    labels: NDArray[np.int64]
    groups: tuple[str, ...]
    folds: NDArray[np.int64]
    held_out: frozenset[int]
    classes: tuple[str, ...]
    dataset_digest: str

    def __init__(self, table: CatalogueTable, held_out: Iterable[int]) -> None:
        """Take what a member that never sees `held_out` may learn from; an empty `held_out` is a refit on all.

        Raises:
            ConfigError: a fold that the table does not have. DataSetUnusable: nothing, or not every class,
            is left to learn from. LeakageError: the table contradicts itself: a content, a picture or a
            group stands both among what is left
                and in a held-out fold.
        """
        folds = frozenset(held_out)
        _check_folds(folds, table.n_folds)
        touched = _touches(table.frame, folds)
        # The check reads all held-out rows, conflicts and copies included.
        rows, unseen = table.frame[~touched & ~table.frame["conflict"]], table.frame[touched]
        for column in ("sha256", "pixel_sha256", "group"):
            _refuse_shared(rows[column], unseen[column], column, folds)
        rows = rows.drop_duplicates("sha256").sort_values("sha256")
        _check_classes(rows["label"], table.classes, folds)
        self._fill(
            sha256=tuple(rows["sha256"]),
            pixel_sha256=tuple(rows["pixel_sha256"]),
            labels=_class_indices(rows, table.classes),
            groups=tuple(rows["group"]),
            folds=rows["fold"].to_numpy(dtype=np.int64, copy=True),
            held_out=folds,
            classes=table.classes,
            dataset_digest=table.digest,
        )

    def __len__(self) -> int:
        return len(self.sha256)

    def __repr__(self) -> str:
        return f"TrainingView({len(self)} contents, held_out={sorted(self.held_out)})"

    def select(self, indices: Sequence[int] | NDArray[np.int64]) -> "TrainingView":
        """A part of this view, by positions, in ascending order and each once."""
        kept = np.unique(np.asarray(indices, dtype=np.int64))
        if kept.size and not 0 <= kept[0] <= kept[-1] < len(self):
            raise IndexError(f"positions outside 0..{len(self) - 1}")
        part = object.__new__(TrainingView)
        part._fill(
            sha256=tuple(self.sha256[i] for i in kept),
            pixel_sha256=tuple(self.pixel_sha256[i] for i in kept),
            labels=self.labels[kept],
            groups=tuple(self.groups[i] for i in kept),
            folds=self.folds[kept],
            held_out=self.held_out,
            classes=self.classes,
            dataset_digest=self.dataset_digest,
        )
        return part

    def split(self, fraction: float, seed: int) -> tuple["TrainingView", "TrainingView"]:
        """Part off about `fraction` of the contents, whole groups, stratified: (the rest, the part).

        For early stopping and other choices inside training. Each class keeps at least one group in the
        rest; the part may lack a class that has a single group.
        """
        if not 0.0 < fraction < 1.0:
            raise ValueError(f"fraction={fraction}, must lie between 0 and 1")
        groups, group_of = np.unique(np.array(self.groups), return_inverse=True)
        counts = np.zeros((len(groups), len(self.classes)), dtype=np.int64)
        np.add.at(counts, (group_of, self.labels), 1)
        total = counts.sum(axis=0)
        parted = np.zeros_like(total)
        rest_groups = (counts > 0).sum(axis=0)
        chosen = np.zeros(len(groups), dtype=np.bool_)
        for group in np.random.default_rng(seed).permutation(len(groups)):
            held = counts[group] > 0
            wanted = (parted[held] + counts[group][held] / 2 <= fraction * total[held]).all()
            if wanted and (rest_groups[held] > 1).all():
                chosen[group] = True
                parted, rest_groups = parted + counts[group], rest_groups - held
        in_part = chosen[group_of]
        return self.select(np.flatnonzero(~in_part)), self.select(np.flatnonzero(in_part))

    def check_unseen(self, view: HeldOutView) -> None:
        """Prove that nothing of what is about to be reported on is in here, nor a copy of it.

        Raises:
            LeakageError: it is.
        """
        where = frozenset({view.fold})
        _refuse_shared(self.sha256, view.sha256, "sha256", where)
        _refuse_shared(self.pixel_sha256, view.pixel_sha256, "pixel_sha256", where)
        _refuse_shared(self.groups, view.groups, "group", where)

    def _fill(self, **values: object) -> None:
        for name, value in values.items():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a TrainingView never changes; tried to set {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a TrainingView never changes; tried to delete {name}")

    def __setstate__(self, state: tuple[None, dict[str, object]]) -> None:
        """Unpickle, for training in another process."""
        self._fill(**state[1])


def training_view(table: CatalogueTable, held_out: frozenset[int]) -> TrainingView:
    """What a member that holds out these folds may learn from; raises as TrainingView does."""
    return TrainingView(table, held_out)


def _touches(rows: pd.DataFrame, folds: frozenset[int]) -> "pd.Series[bool]":
    """Which rows stand in one of the folds or have a group that touches one."""
    touched = [
        fold in folds or any(int(other) in folds for other in straddles.split(",") if other)
        for fold, straddles in zip(rows["fold"].tolist(), rows["straddles"].tolist(), strict=True)
    ]
    return pd.Series(touched, index=rows.index, dtype=bool)


def _class_indices(rows: pd.DataFrame, classes: tuple[str, ...]) -> NDArray[np.int64]:
    index = {label: i for i, label in enumerate(classes)}
    labels = np.array([index[label] for label in rows["label"]], dtype=np.int64)
    labels.setflags(write=False)
    return labels


def _check_folds(folds: Iterable[int], n_folds: int) -> None:
    unknown = sorted(fold for fold in folds if not 0 <= fold < n_folds)
    if unknown:
        raise ConfigError(f"folds {unknown} of {n_folds} folds", cure=f"name folds from 0 to {n_folds - 1}")


def _check_classes(labels: Iterable[str], classes: tuple[str, ...], held_out: frozenset[int]) -> None:
    missing = sorted(set(classes) - set(labels))
    if missing or not classes:
        what = f"no image of class {', '.join(map(repr, missing))}" if missing else "no image"
        raise DataSetUnusable(
            f"without the folds {sorted(held_out)} there is {what} to learn from",
            cure="add independent images of every class",
        )


def _refuse_shared(
    learnt: Iterable[str], unseen: Iterable[str], column: str, held_out: frozenset[int]
) -> None:
    shared = set(learnt) & set(unseen)
    if shared:
        raise LeakageError(
            f"{len(shared)} {column} values would be both learnt from and reported on "
            f"(folds {sorted(held_out)} are held out), {min(shared)} for one",
            cure="make the catalogue again; if it stays, its ledger was changed by hand",
        )
