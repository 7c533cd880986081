"""Shortcuts: how well trivial facts, such as an image's size, predict the label by themselves.

A network may learn such a fact instead of the finding and look good on every image of the same collection (Geirhos et
al. 2020, Shortcut Learning in Deep Neural Networks, arXiv:2004.07780). Each fact is given to a small model of its own,
trained on the other folds of the ledger, so that neither copies nor patients help it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field
from sklearn.linear_model import LogisticRegression

from tasks.evaluation.intervals import Estimate
from tasks.evaluation.metrics import evaluate
from tasks.record import Frozen

WARN_ABOVE = 0.6
"""AUC that the lower bound of a fact must pass for a warning: surely more than chance, and more than a trifle."""

MOST_IMAGES = 20_000
MOST_CLASSES = 20
ALL_FACTS = "all of these together"

_RESAMPLES = 500
_MOST_VALUES = 12
_LEAST_SHARE = 0.02

# Under a ridge penalty a small column is dear: a trend is believed before a range is.
_RANGE_WEIGHT = 0.3

Floats = npt.NDArray[np.float64]


class Shortcut(Frozen):
    """How well one trivial fact predicts the label."""

    fact: str = Field(description="The fact in words.")
    auc: Estimate = Field(
        description="AUC of a model that sees this fact alone, on folds that it did not see."
    )
    warning: str = Field(default="", description="What follows from it, empty where nothing does.")


@dataclass(frozen=True)
class MeasuredFacts:
    """What was found of each fact, and what its model says of each content.

    `contents` are the rows that were measured; `scores` holds, by fact, probabilities (contents, classes) of
    a model that did not see the content's fold.
    """

    shortcuts: list[Shortcut]
    contents: pd.DataFrame
    scores: Mapping[str, Floats]
    classes: tuple[str, ...]

    def to_parquet(self) -> bytes:
        """A row a content: sha256, and a column a fact and class, named `fact: class`."""
        columns: dict[str, object] = {"sha256": self.contents["sha256"].to_numpy()}
        for fact, chances in self.scores.items():
            for index, name in enumerate(self.classes):
                columns[f"{fact}: {name}"] = chances[:, index].astype(np.float32)
        return pd.DataFrame(columns).to_parquet(index=False)


class _Fact(NamedTuple):
    columns: Callable[[pd.DataFrame], Floats]
    looking_at: str
    cure: str = "collect images of all classes from the same source"


_SAME_EXPORT = "collect images of all classes from the same source, or export all in one format"
_SAME_BRIGHTNESS = "collect images of all classes from the same scanners and windowing"


def _numeric(numbers: Floats) -> Floats:
    """A number as columns: standardised, squared, and one a tenth of the images, so that any range can stand out."""
    middle = float(np.nanmedian(numbers))
    spread = float(np.subtract(*np.nanpercentile(numbers, [90, 10]))) or float(np.nanstd(numbers)) or 1.0
    scaled = np.clip(np.nan_to_num((numbers - middle) / spread), -3, 3)
    tenths = np.searchsorted(np.unique(np.nanpercentile(numbers, np.arange(10, 100, 10))), numbers)
    return np.stack(
        [scaled, scaled**2, *(_RANGE_WEIGHT * (tenths == place) for place in np.unique(tenths))], axis=1
    )


def _indicators(values: "pd.Series[str]") -> Floats:
    """One column a common value; rare ones share the absence of all."""
    shares = values.value_counts(normalize=True)
    named = shares.index[shares >= _LEAST_SHARE][:_MOST_VALUES]
    return np.stack(
        [np.ones(len(values)), *((values == name).to_numpy(np.float64) for name in named)], axis=1
    )


def _size(rows: pd.DataFrame) -> Floats:
    """How large, and which exact size: one that many files share betrays where they come from."""
    exact = rows["width"].astype(str) + "x" + rows["height"].astype(str)
    return np.hstack([_numeric(np.log(_area(rows))), _indicators(exact)])


def _area(rows: pd.DataFrame) -> Floats:
    return _column(rows, "width") * _column(rows, "height")


def _column(rows: pd.DataFrame, name: str) -> Floats:
    return rows[name].to_numpy(np.float64)


FACTS: Mapping[str, _Fact] = {
    "file format": _Fact(lambda rows: _indicators(rows["format"]), "the kind of file", _SAME_EXPORT),
    "colour mode": _Fact(
        lambda rows: _indicators(rows["mode"]), "whether the file is grey or colour", _SAME_EXPORT
    ),
    "image size": _Fact(_size, "the picture's width and height"),
    "aspect ratio": _Fact(
        lambda rows: _numeric(np.log(_column(rows, "width") / _column(rows, "height"))), "the picture's shape"
    ),
    "bytes per pixel": _Fact(
        lambda rows: _numeric(np.log(np.maximum(_column(rows, "size_bytes"), 1) / _area(rows))),
        "how strongly the file is compressed",
        _SAME_EXPORT,
    ),
    "mean intensity": _Fact(
        lambda rows: _numeric(_column(rows, "mean_intensity")),
        "the picture's mean brightness",
        _SAME_BRIGHTNESS,
    ),
    "border intensity": _Fact(
        lambda rows: _numeric(_column(rows, "border_intensity")),
        "the brightness along the picture's edge",
        _SAME_BRIGHTNESS,
    ),
}


def measure_shortcuts(
    rows: pd.DataFrame, classes: tuple[str, ...], positive_class: str | None
) -> MeasuredFacts:
    """Measure each fact and all together; one warning a fact whose lower bound passes `WARN_ABOVE`.

    `rows` are those of a catalogue, one a distinct content, with label, group and fold. Facts that are the same for
    all images are left out. Without a positive class the AUC is the mean over the classes, each against the rest.
    Of very many images or classes, some stand for all: the first `MOST_IMAGES` by digest, the `MOST_CLASSES` commonest.
    """
    some = _manageable(rows)
    kept = _present(some, classes)
    if len(kept) < 2:
        return MeasuredFacts([], some, {}, kept)
    labels = np.array([kept.index(label) for label in some["label"]])
    telling = _features(some)
    if len(telling) > 1:
        telling[ALL_FACTS] = np.hstack(list(telling.values()))
    folds = some["fold"].to_numpy(np.int64)
    scores = {name: _out_of_fold(columns, labels, folds, len(kept)) for name, columns in telling.items()}
    found = []
    for name, chance in scores.items():
        auc = _auc(chance, labels, some["group"], kept, positive_class)
        warning = (
            _warning_of_all(auc)
            if name == ALL_FACTS
            else _warning(auc, FACTS[name].looking_at, FACTS[name].cure)
        )
        found.append(Shortcut(fact=name, auc=auc, warning=warning))
    return MeasuredFacts(found, some, scores, kept)


def read_scores(frame: pd.DataFrame, classes: tuple[str, ...]) -> Mapping[str, Floats]:
    """Each fact's probabilities (rows, classes) from the columns of `MeasuredFacts.to_parquet`.

    A class that was not measured has a probability of zero.
    """
    facts = dict.fromkeys(name.partition(": ")[0] for name in frame.columns if ": " in name)
    return {
        fact: np.stack(
            [
                frame[column].to_numpy(np.float64) if column in frame.columns else np.zeros(len(frame))
                for column in (f"{fact}: {name}" for name in classes)
            ],
            axis=1,
        )
        for fact in facts
    }


def _present(rows: pd.DataFrame, classes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in classes if (rows["label"] == name).any())


def _features(rows: pd.DataFrame) -> dict[str, Floats]:
    """The columns (n, k) of each fact that is not the same for all images."""
    made = {name: fact.columns(rows) for name, fact in FACTS.items()}
    return {name: columns for name, columns in made.items() if np.ptp(columns, axis=0).max() > 0}


def warnings_of(shortcuts: list[Shortcut]) -> list[str]:
    """The warnings alone, the strongest first."""
    raised = [shortcut for shortcut in shortcuts if shortcut.warning]
    return [s.warning for s in sorted(raised, key=lambda s: -(s.auc.lower or 0.0))]


def _manageable(rows: pd.DataFrame) -> pd.DataFrame:
    usable = rows[rows["straddles"] == ""]
    common = (
        usable["label"].value_counts().sort_index(kind="stable").sort_values(ascending=False, kind="stable")
    )
    usable = usable[usable["label"].isin(common.index[:MOST_CLASSES])]
    return usable.sort_values("sha256").head(MOST_IMAGES)


def _auc(
    chance: Floats,
    labels: npt.NDArray[np.int64],
    groups: "pd.Series[str]",
    classes: tuple[str, ...],
    positive: str | None,
) -> Estimate:
    return evaluate(
        labels,
        chance,
        chance.argmax(axis=1),
        groups.to_numpy(str),
        list(classes),
        positive_class=positive if positive in classes else None,
        protocol="cross_validation",
        resamples=_RESAMPLES,
    ).auc


def _out_of_fold(
    features: Floats, labels: npt.NDArray[np.int64], folds: npt.NDArray[np.int64], n: int
) -> Floats:
    """Probabilities (rows, n), each row's by a model that saw no row of its fold."""
    chance = np.full((labels.size, n), 1 / n)
    for fold in np.unique(folds):
        own = folds == fold
        present = np.unique(labels[~own])
        if present.size < 2:
            continue
        model = LogisticRegression(class_weight="balanced", max_iter=500)
        model.fit(features[~own], labels[~own])
        chance[own] = 0.0
        chance[np.ix_(own, present)] = model.predict_proba(features[own])
    return chance


def _warning_of_all(auc: Estimate) -> str:
    if auc.lower is None or auc.lower <= WARN_ABOVE:
        return ""
    return (
        f"All trivial facts together reach an AUC of {auc.value:.2f} without a look at the finding: figures of a model "
        "are to be measured against that, not against chance."
    )


def _warning(auc: Estimate, looking_at: str, cure: str) -> str:
    if auc.lower is None or auc.lower <= WARN_ABOVE:
        return ""
    return (
        f"A model could reach an AUC of {auc.value:.2f} by looking at {looking_at} alone, and might learn that "
        f"instead of the finding: {cure}."
    )
