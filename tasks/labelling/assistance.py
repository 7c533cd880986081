"""Machine assistance: a linear model on features kept anyway, and how sure it must be before it may suggest."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.data.grouped_splits import grouped_splits
from tasks.evaluation.intervals import wilson
from tasks.record import Frozen

LEAST_LABELS: Final = 10
"""Labels of each class from which on it may suggest."""

LEAST_TO_CHOOSE: Final = 3
"""Labels of each class from which on it says what should be asked next."""

LEAST_JUDGED: Final = 20
"""Held-out labels that a threshold must rest on."""

STRENGTHS: Final = (1e-4, 1e-3, 1e-2, 1e-1)
"""Inverse regularisation, for standardised features; the one of least held-out log loss is taken."""

FOLDS: Final = 5

Features = NDArray[np.float32]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class AssistanceFigures(Frozen):
    """What the machine knows and how good it was on labels that it had not seen."""

    model: str | None = Field(
        description="Its version: the same labels give the same one. None: no model yet."
    )
    why_none: str | None = Field(
        default=None, description="Why there is no model, or why it suggests nothing."
    )
    labels: dict[str, int] = Field(description="Labels that it learnt from, by class.")
    precision: float = Field(description="The share of right suggestions that was asked for.")
    threshold: float | None = Field(
        default=None, description="Probability from which on it suggests; None: it is never sure enough."
    )
    held_out_sure: int = Field(default=0, ge=0, description="Held-out labels above the threshold.")
    held_out_right: int = Field(default=0, ge=0, description="Of these, those that it had right.")
    precision_lower: float | None = Field(
        default=None, description="Lower end of their share's 95 % interval."
    )


@dataclass(frozen=True)
class Assistant:
    """A trained model: `probabilities` of features (n, d) are (n, classes), in the order of `classes`."""

    figures: AssistanceFigures
    classes: tuple[str, ...]
    _model: Any
    _scale: "_Scale"

    def probabilities(self, features: Features) -> Floats:
        """Rows that add up to 1."""
        found: Floats = self._model.predict_proba(self._scale.of(features))
        return found


def train_assistant(
    features: Features,
    labels: Sequence[str],
    groups: Ints,
    classes: Sequence[str],
    *,
    precision: float,
    made: str,
) -> Assistant | AssistanceFigures:
    """Train on the labels so far; without LEAST_TO_CHOOSE of each class, say so instead.

    Below LEAST_LABELS of each class the model only chooses: it has no threshold.

    features (n, d), labels n names, groups (n,): images of one group (copies) are never on both sides when held-out
    probabilities are made, on which strength and threshold rest. `made` names what made the features, and the images.
    """
    counts = Counter(labels)
    told = {name: counts[name] for name in classes}
    few = [f"{name} has {count}" for name, count in told.items() if count < LEAST_LABELS]
    why = f"needs {LEAST_LABELS} labels of each class; " + ", ".join(few[:5]) if few else None
    if min(told.values()) < LEAST_TO_CHOOSE:
        return AssistanceFigures(model=None, why_none=why, labels=told, precision=precision)
    ordered = tuple(sorted(classes))
    truth = np.array([ordered.index(label) for label in labels], dtype=np.int64)
    n_groups = min(len(np.unique(groups[truth == place])) for place in range(len(ordered)))
    if n_groups < 2:
        why = "each class needs two images that are no copies of each other"
        return AssistanceFigures(model=None, why_none=why, labels=told, precision=precision)
    scale = _Scale.fitting(features)
    values = scale.of(features)
    held_out, strength = _held_out(values, truth, groups, min(FOLDS, n_groups))
    threshold, sure, right = (None, 0, 0) if few else confident_from(held_out, truth, precision)
    if threshold is None and not few:
        why = f"on held-out labels it is never right in {precision:.0%}"
    version = hashlib.sha256("\n".join([made, *labels]).encode()).hexdigest()[:12]
    figures = AssistanceFigures(
        model=f"probe-{version}",
        why_none=why,
        labels=told,
        precision=precision,
        threshold=threshold,
        held_out_sure=sure,
        held_out_right=right,
        precision_lower=wilson(right / sure, sure)[0] if sure else None,
    )
    return Assistant(figures, ordered, _fitted(values, truth, strength), scale)


def confident_from(probabilities: Floats, truth: Ints, precision: float) -> tuple[float | None, int, int]:
    """The lowest probability from which on answers are right often enough; how many there were, and were right.

    probabilities (n, classes) of labels held out, truth (n,). The share is taken over all answers at least as sure, of
    which there must be LEAST_JUDGED. The lowest threshold of many is a lucky one: expect a little less of it.
    """
    sureness = probabilities.max(axis=1)
    order = np.argsort(-sureness, kind="stable")
    right = np.cumsum((probabilities.argmax(axis=1) == truth)[order])
    count = np.arange(1, len(truth) + 1)
    # A threshold takes all that are equally sure.
    last_of_equal = np.r_[np.diff(sureness[order]) != 0, True]
    good = (right / count >= precision) & (count >= LEAST_JUDGED) & last_of_equal
    if not good.any():
        return None, 0, 0
    place = int(np.flatnonzero(good)[-1])
    return float(sureness[order][place]), place + 1, int(right[place])


@dataclass(frozen=True)
class _Scale:
    """Standardised features in the directions that the labelled images span.

    A linear model with squared weights as its penalty has no weight in any other direction, so that nothing is lost;
    with fewer images than features it is many times as fast.
    """

    mean: Features
    deviation: Features
    directions: Floats

    @classmethod
    def fitting(cls, features: Features) -> "_Scale":
        """Of the labelled images (n, d)."""
        mean, deviation = features.mean(0), features.std(0)
        deviation = np.maximum(deviation, max(float(np.median(deviation)) * 0.1, 1e-6)).astype(np.float32)
        values = ((features - mean) / deviation).astype(np.float64)
        return cls(mean, deviation, np.linalg.svd(values, full_matrices=False)[2])

    def of(self, features: Features) -> Floats:
        """(n, d) → (n, directions)."""
        values: Floats = ((features - self.mean) / self.deviation).astype(np.float64) @ self.directions.T
        return values


def _held_out(values: Floats, truth: Ints, groups: Ints, folds: int) -> tuple[Floats, float]:
    """Out-of-fold probabilities (n, classes) by the strength that does best on them, and that strength."""
    from sklearn.metrics import log_loss

    n_classes = int(truth.max()) + 1
    splits = grouped_splits(truth, groups, folds, seed=0)
    best: tuple[float, Floats, float] | None = None
    for strength in STRENGTHS:
        found = np.full((len(truth), n_classes), 1 / n_classes)
        for train, test in splits:
            model = _fitted(values[train], truth[train], strength)
            found[np.ix_(test, model.classes_)] = model.predict_proba(values[test])
        loss = log_loss(truth, found, labels=range(n_classes))
        if best is None or loss < best[0]:
            best = loss, found, strength
    assert best is not None  # noqa: S101 - there are strengths
    return best[1], best[2]


def _fitted(values: Floats, truth: Ints, strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, class_weight="balanced", max_iter=1000, tol=1e-3).fit(values, truth)
