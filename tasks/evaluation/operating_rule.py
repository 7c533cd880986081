"""How logits become a label: members on one scale, calibrated probabilities, and the threshold of a positive class."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logsumexp, softmax

from tasks.errors import DataSetUnusable
from tasks.evaluation.intervals import Bools, Floats, Ints
from tasks.evaluation.member_scale import centred, member_offsets
from tasks.evaluation.recalibration import fit_scale
from tasks.evaluation.settings import ThresholdRule
from tasks.evaluation.threshold import choose_thresholds, group_weights


@dataclass(frozen=True)
class JudgedImages:
    """Out-of-fold logits, and whose they are.

    Shapes: labels (n,) class indices; logits (n, classes); judges (n, members), the share that each member has in a
    row's logits; groups (n,) numbers.
    """

    labels: Ints
    logits: Floats
    judges: Floats
    groups: Ints

    def __getitem__(self, rows: Bools | Ints) -> Self:
        return type(self)(self.labels[rows], self.logits[rows], self.judges[rows], self.groups[rows])

    def __len__(self) -> int:
        return self.labels.size

    @property
    def members(self) -> Ints:
        """The member (n,) whose logits a row holds; -1 where they are a mean of several."""
        alone = (self.judges > 0).sum(axis=1) == 1
        return np.asarray(np.where(alone, self.judges.argmax(axis=1), -1), dtype=np.int64)


@dataclass(frozen=True)
class OperatingRule:
    """Probabilities are the softmax of logits / temperature + offsets; the positive class is named from a threshold on.

    `offsets` (classes,); `members` (members, classes) is what each member's own logits are moved by first, in
    logits: it brings them to one scale, and is zero on average.
    """

    temperature: float
    offsets: Floats
    members: Floats
    threshold: float | None

    def probabilities(self, logits: Floats, judges: Floats | None = None) -> Floats:
        """Of logits (n, classes): (n, classes). `judges` (n, members) says whose they are; None, the mean of all."""
        moved = centred(logits) if judges is None else centred(logits) + judges @ self.members
        return np.asarray(softmax(moved / self.temperature + self.offsets, axis=1), dtype=np.float64)

    def decide(self, probabilities: Floats, positive: int | None) -> Ints:
        """Predicted class index (n,): the positive class at or above the threshold, else the likeliest other."""
        if positive is None or self.threshold is None:
            return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)
        others = probabilities.copy()
        others[:, positive] = -1.0
        is_positive = probabilities[:, positive] >= self.threshold
        return np.asarray(np.where(is_positive, positive, others.argmax(axis=1)), dtype=np.int64)


@dataclass(frozen=True)
class RulesOfResamples:
    """A rule for each of b weightings of the images: scale (b,), offsets (b, ...) and thresholds (b,) in logits.

    A threshold is NaN where a weighting has no positive image.
    """

    slopes: Floats
    offsets: Floats
    members: Floats
    thresholds: Floats | None

    def logits(self, images: JudgedImages) -> Floats:
        """Calibrated logits (b, n, classes)."""
        moved = centred(images.logits)[None] + np.einsum("nm,bmc->bnc", images.judges, self.members)
        return np.asarray(self.slopes[:, None, None] * moved + self.offsets[:, None, :], dtype=np.float64)


def scores_of(logits: Floats, positive: int) -> Floats:
    """Logit of the positive class's probability (b, n), of calibrated logits (b, n, classes)."""
    others = np.delete(logits, positive, axis=2)
    return np.asarray(logits[:, :, positive] - logsumexp(others, axis=2), dtype=np.float64)


def choose_rules(
    images: JudgedImages,
    drawn: Floats,
    positive: int | None,
    rule: ThresholdRule,
    start: OperatingRule | None = None,
) -> RulesOfResamples:
    """The rule that these images would choose, for each way (b, n) in which they may be drawn; ones are themselves.

    Members come to one scale, then probabilities are calibrated, then the threshold is chosen. A group counts once,
    however many images it has. `start` is where the calibration begins.
    """
    per_image, per_class = (drawn * weights for weights in group_weights(images.labels, images.groups))
    n_members = images.judges.shape[1]
    members = member_offsets(images.labels, centred(images.logits), images.members, n_members, per_image)
    moved = centred(images.logits)[None] + np.einsum("nm,bmc->bnc", images.judges, members)
    begin = None if start is None else (np.array([1 / start.temperature]), start.offsets[None])
    slopes, offsets = fit_scale(images.labels, moved, per_image, begin)
    rules = RulesOfResamples(slopes, offsets, members, None)
    if positive is None:
        return rules
    scores = scores_of(rules.logits(images), positive)
    thresholds = choose_thresholds(images.labels == positive, scores, (per_image, per_class), rule)
    return RulesOfResamples(slopes, offsets, members, thresholds)


def choose_rule(images: JudgedImages, positive: int | None, rule: ThresholdRule) -> OperatingRule:
    """The rule that these images choose.

    Raises: DataSetUnusable when there is nothing to choose on.
    """
    check_choice(images, positive, rule)
    found = choose_rules(images, np.ones((1, len(images))), positive, rule)
    return OperatingRule(
        temperature=float(1 / found.slopes[0]),
        offsets=found.offsets[0],
        members=found.members[0],
        threshold=None if found.thresholds is None else float(expit(found.thresholds[0])),
    )


def check_choice(images: JudgedImages, positive: int | None, rule: ThresholdRule) -> None:
    """Refuse to choose on nothing."""
    if not len(images):
        raise DataSetUnusable(
            "no image is left to choose a scale and a threshold on",
            cure="use cross-validation, or a split with training images",
        )
    if not np.isfinite(images.logits).all():
        raise DataSetUnusable(
            f"no scale can be fitted to {len(images)} images: a logit is not finite",
            cure="train again, with a smaller learning rate",
        )
    if positive is not None and not (images.labels == positive).any():
        raise DataSetUnusable(
            f"no threshold for a recall of {rule.recall_target:g} can be chosen: none of {len(images)} images is "
            "positive",
            cure="check the positive class, or use fewer folds: every part needs positive images",
        )


def judge_shares(judges: npt.ArrayLike) -> Floats:
    """Each row's share (n, members) of every member that judged it, from flags (n, members)."""
    flags = np.asarray(judges, dtype=np.float64)
    return np.asarray(flags / np.maximum(flags.sum(axis=1, keepdims=True), 1.0), dtype=np.float64)
