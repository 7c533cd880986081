"""From out-of-fold logits to honest probabilities and labels: nothing is fitted on what it is applied to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.data.settings import Protocol
from tasks.errors import LeakageError
from tasks.evaluation.intervals import Bools, Floats, Ints
from tasks.evaluation.operating_rule import JudgedImages, OperatingRule, choose_rule
from tasks.evaluation.parts import parts_of
from tasks.evaluation.settings import ThresholdRule


@dataclass(frozen=True)
class Round:
    """Which images (n,) choose a rule, and which are judged by it: no group is on both sides.

    Raises: LeakageError when one is.
    """

    choosing: Bools
    judged: Bools
    groups: Ints

    def __post_init__(self) -> None:
        both = np.intersect1d(self.groups[self.choosing], self.groups[self.judged])
        if both.size:
            raise LeakageError(
                f"{both.size} groups of copies would choose the threshold that judges them",
                cure="report this as a defect",
            )


@dataclass(frozen=True)
class HonestPredictions:
    """Predictions of the reported images (n,), each by a rule that neither it nor a copy of it had a part in.

    `thresholds` (n,) is NaN where there is none. Rows that are not reported have probabilities and predictions of zero.
    """

    reported: Bools
    probabilities: Floats
    predicted: Ints
    thresholds: Floats
    served: OperatingRule
    images: JudgedImages
    rounds: tuple[tuple[Round, OperatingRule], ...]
    positive: int | None
    rule: ThresholdRule

    def applied_to(self, logits: Floats) -> tuple[Floats, Ints]:
        """The same rules on other logits (n, classes) of the same images: probabilities and predictions as above."""
        return _applied(self.rounds, logits, self.images.judges, self.positive)


def judge(
    images: JudgedImages,
    folds: Ints,
    *,
    straddling: npt.NDArray[np.bool_],
    reported_folds: frozenset[int],
    positive: int | None,
    rule: ThresholdRule,
) -> HonestPredictions:
    """Turn out-of-fold logits into predictions of the reported folds, and the rule to serve.

    Where all folds are reported, the groups are cut into parts that run across the folds, and each part is judged by
    the scales, calibration and threshold that the others choose. Where only some are (a hold-out, a given test set),
    images of the other folds choose. The served rule is chosen on all images that any rule may be chosen on. `folds`
    (n,). `straddling` rows (n,) have a copy in another fold: they take part in no choice.

    Raises: DataSetUnusable when nothing is left to choose on; LeakageError when an image would judge itself.
    """
    every_fold = frozenset(np.unique(folds).tolist())
    reported = np.isin(folds, list(reported_folds))
    if reported_folds >= every_fold:
        usable = ~straddling
        parts = parts_of(images.labels, folds, images.groups)
        sides = [(usable & (parts != part), parts == part) for part in np.unique(parts)]
    else:
        usable = ~reported & ~straddling & ~np.isin(images.groups, images.groups[reported])
        sides = [(usable, reported)]
    rounds = []
    for choosing, judged in sides:
        one = Round(choosing, judged, images.groups)
        rounds.append((one, choose_rule(images[one.choosing], positive, rule)))
    probabilities, predicted = _applied(rounds, images.logits, images.judges, positive)
    thresholds = np.full(len(images), np.nan)
    for one, chosen in rounds:
        if chosen.threshold is not None:
            thresholds[one.judged] = chosen.threshold
    served = choose_rule(images[usable], positive, rule)
    return HonestPredictions(
        *(reported, probabilities, predicted, thresholds, served, images, tuple(rounds), positive, rule)
    )


def _applied(
    rounds: Sequence[tuple[Round, OperatingRule]], logits: Floats, judges: Floats, positive: int | None
) -> tuple[Floats, Ints]:
    probabilities, predicted = np.zeros(logits.shape), np.zeros(len(logits), dtype=np.int64)
    for one, chosen in rounds:
        own = one.judged
        probabilities[own] = chosen.probabilities(logits[own], judges[own])
        predicted[own] = chosen.decide(probabilities[own], positive)
    return probabilities, predicted


def reported_folds(protocol: Protocol, n_folds: int) -> frozenset[int]:
    """The folds whose images the figures cover: all under cross-validation, else the test fold 0."""
    return frozenset(range(n_folds)) if protocol == "cross_validation" else frozenset({0})
