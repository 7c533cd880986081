"""Subgroups: does the model do as well at every site, on every scanner, for men and women, old and young?

Whether figures differ is asked by a permutation test: groups of copies or patients change places among the values of a
column, and the spread that is seen is held against the spread that comes of that. P-values are raised for the number of
questions (Holm 1979).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from tasks.evaluation import intervals
from tasks.evaluation.intervals import Estimate, Floats, Ints, Ranking, effective_size, proportion
from tasks.record import Frozen

Mask = npt.NDArray[np.bool_]

NOT_GIVEN: Final = "not given"
OTHERS: Final = "all others"
MOST_LEVELS: Final = 10
_BANDED_FROM: Final = 9
_BANDS: Final = 4
_PERMUTATIONS: Final = 2_000
_DATE: Final = re.compile(r"(\d{4})[-/.]\d\d?(?:[-/.]\d\d?.*)?")


class SubgroupFigures(Frozen):
    """The images that have one value of a column."""

    value: str = Field(description="The value, or a band of values.")
    n: int = Field(ge=1, description="Images.")
    findings: int | None = Field(
        description="Of these, images with the finding; None where none is looked for."
    )
    recall: Estimate | None = Field(description="Share of the findings that were found.")
    specificity: Estimate | None = Field(description="Share of the others that raised no alarm.")
    auc: Estimate | None = Field(description="How well the two are told apart.")
    accuracy: Estimate = Field(description="Share predicted rightly.")


class Subgroups(Frozen):
    """Figures by one column."""

    column: str = Field(description="What the images are divided by.")
    of_images: bool = Field(
        description="Whether it was read off the images; else it stood in the table of labels."
    )
    values: tuple[SubgroupFigures, ...] = Field(description="Each value, by name or from low to high.")
    p_values: dict[str, float] = Field(
        description="For each figure, how probable such differences are where there are none; raised for their number."
    )


def subgroups(
    columns: Mapping[str, tuple["pd.Series[str]", bool]],
    right: Mask,
    groups: npt.ArrayLike,
    *,
    positive: Mask | None = None,
    scores: Floats | None = None,
) -> tuple[Subgroups, ...]:
    """By each column, (n,) texts and whether they were read off the images; one that says the same of all is left out.

    `right` (n,) says whether an image was predicted rightly; `positive` (n,) and `scores` (n,) are of the finding,
    where one is looked for.
    """
    index = intervals.group_index(groups)
    banded = {name: (banded_values(values), own) for name, (values, own) in columns.items()}
    told = {name: one for name, one in banded.items() if one[0].nunique() > 1}
    parts = (
        {"accuracy": np.ones_like(right)}
        if positive is None
        else {"recall": positive, "specificity": ~positive}
    )
    raw = {
        (name, figure): heterogeneity(values, right, index, part)
        for name, (values, _) in told.items()
        for figure, part in parts.items()
    }
    adjusted = _holm({key: p for key, p in raw.items() if p is not None})
    return tuple(
        Subgroups(
            column=name,
            of_images=own,
            values=tuple(
                _figures(str(value), (values == value).to_numpy(np.bool_), right, index, positive, scores)
                for value in _ordered(values)
            ),
            p_values={figure: adjusted[name, figure] for figure in parts if (name, figure) in adjusted},
        )
        for name, (values, own) in told.items()
    )


def banded_values(values: "pd.Series[str]") -> "pd.Series[str]":
    """Few values of a column: dates as years, many numbers as quarters of the images, rare texts together."""
    text = (
        values.astype("object")
        .where(values.notna(), None)
        .map(lambda v: None if v is None else str(v).strip() or None)
    )
    given = text.dropna()
    if len(given) and given.map(lambda v: _DATE.fullmatch(v) is not None).all():
        text = text.map(lambda v: None if v is None else v[:4])
        given = text.dropna()
    numbers = pd.to_numeric(given, errors="coerce")
    if given.nunique() >= _BANDED_FROM and len(given) and numbers.notna().all():
        text = text.where(text.isna(), _bands(numbers).reindex(text.index))
    counts = text.value_counts()
    if len(counts) > MOST_LEVELS:
        rare = counts.sort_values(ascending=False, kind="stable").index[MOST_LEVELS - 1 :]
        text = text.mask(text.isin(rare), OTHERS)
    return text.fillna(NOT_GIVEN).astype("object")


def heterogeneity(values: "pd.Series[str]", right: Mask, index: Ints, part: Mask) -> float | None:
    """P-value of all values having one rate, among the images of `part`; None where none can differ."""
    hits = np.bincount(index[part], weights=right[part].astype(np.float64), minlength=int(index.max()) + 1)
    sizes = np.bincount(index[part], minlength=hits.size).astype(np.float64)
    level = (
        pd.Series(pd.factorize(values)[0][part]).groupby(index[part]).agg(lambda found: found.mode().iloc[0])
    )
    of_group = level.to_numpy(np.int64)
    hits, sizes = hits[level.index.to_numpy()], sizes[level.index.to_numpy()]
    if np.unique(of_group).size < 2 or hits.sum() in (0.0, sizes.sum()):
        return None
    rng = np.random.default_rng(0)
    seen = _spread(of_group[None], hits, sizes)[0]
    shuffled = rng.permuted(np.tile(of_group, (_PERMUTATIONS, 1)), axis=1)
    as_far = int((_spread(shuffled, hits, sizes) >= seen - 1e-12).sum())
    return (as_far + 1) / (_PERMUTATIONS + 1)


def _spread(levels: Ints, hits: Floats, sizes: Floats) -> Floats:
    """For each row of levels (b, groups), how far the rates of the levels are apart, large ones counting more."""
    rate = hits.sum() / sizes.sum()
    total = np.zeros(len(levels))
    for level in np.unique(levels[0]):
        own = levels == level
        n = own @ sizes
        total += np.where(n > 0, (own @ hits - rate * n) ** 2 / np.maximum(n, 1e-12), 0.0)
    return total


def _holm(raw: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    adjusted, highest = {}, 0.0
    for place, (key, p) in enumerate(sorted(raw.items(), key=lambda item: item[1])):
        highest = max(highest, min(1.0, (len(raw) - place) * p))
        adjusted[key] = highest
    return adjusted


def _figures(
    value: str, own: Mask, right: Mask, index: Ints, positive: Mask | None, scores: Floats | None
) -> SubgroupFigures:
    recall = specificity = auc = None
    if positive is not None:
        yes, no = own & positive, own & ~positive
        recall = proportion(right[yes], index[yes], absent="no finding among them")
        specificity = proportion(right[no], index[no], absent="findings only")
        auc = _auc(scores, yes, no, index)
    return SubgroupFigures(
        value=value,
        n=int(own.sum()),
        findings=None if positive is None else int((own & positive).sum()),
        recall=recall,
        specificity=specificity,
        auc=auc,
        accuracy=proportion(right[own], index[own], absent="no image"),
    )


def _auc(scores: Floats | None, yes: Mask, no: Mask, index: Ints) -> Estimate | None:
    if scores is None:
        return None
    n = int(yes.sum() + no.sum())
    if not yes.any() or not no.any():
        return intervals.undefined("an AUC needs images with and without the finding", n)
    some = yes | no
    value = float(Ranking.of(scores[some], yes[some]).figures(np.ones((1, n)))[0, 0])
    sizes = (effective_size(np.ones(int(part.sum()), dtype=np.bool_), index[part]) for part in (yes, no))
    lower, upper = intervals.auc_interval(value, *sizes)
    return Estimate(value=value, lower=lower, upper=upper, n=n, method="Newcombe, effective n")


def _bands(numbers: "pd.Series[float]") -> "pd.Series[str]":
    """Each number as the quarter that it stands in, such as `18 to 45`."""
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, _BANDS + 1)[1:-1]))
    band = np.searchsorted(edges, numbers.to_numpy(), side="left")
    names = {}
    for place in np.unique(band):
        own = numbers[band == place]
        low, high = f"{own.min():.4g}", f"{own.max():.4g}"
        names[place] = low if low == high else f"{low} to {high}"
    return pd.Series([names[place] for place in band], index=numbers.index, dtype="object")


def _ordered(values: "pd.Series[str]") -> Sequence[str]:
    """Bands and numbers from low to high, texts by name, what is missing or rare last."""

    def place(value: str) -> tuple[int, float, str]:
        number = re.match(r"-?\d+(\.\d+)?", value)
        last = {OTHERS: 1, NOT_GIVEN: 2}.get(value, 0)
        return last, float(number[0]) if number else float("inf"), value

    return sorted((str(value) for value in values.unique()), key=place)
