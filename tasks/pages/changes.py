"""What changed between two versions of a model: data, recipe, figures, threshold, packages."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.evaluation.intervals import Estimate
from tasks.evaluation.words import NONE, with_interval

_FIGURES = {"recall": "Recall", "specificity": "Specificity", "auc": "ROC AUC"}
_MOST_NAMED = 6


@dataclass(frozen=True)
class Change:
    """One thing that differs from the version before."""

    what: str
    before: str
    after: str


@dataclass(frozen=True)
class VersionFacts:
    """What is known of a version: `labels` by content digest, None where its catalogue is no longer kept."""

    labels: Mapping[str, str] | None
    figures: Mapping[str, Estimate]
    recipe: Mapping[str, Any]
    threshold: float | None
    packages: Mapping[str, str]


def changes_between(before: VersionFacts, after: VersionFacts) -> list[Change]:
    """What differs, data first; nothing where nothing does."""
    return [
        *_data(before.labels, after.labels),
        *_figures(before.figures, after.figures),
        *_differing({"Threshold": before.threshold}, {"Threshold": after.threshold}, ""),
        *_differing(_flat(before.recipe), _flat(after.recipe), "Recipe: "),
        *_differing(before.packages, after.packages, "Package: "),
    ]


def _data(before: Mapping[str, str] | None, after: Mapping[str, str] | None) -> Iterator[Change]:
    if before is None or after is None:
        yield Change("Images", "no longer known: the catalogue was removed", NONE)
        return
    added = [after[digest] for digest in after.keys() - before.keys()]
    removed = [before[digest] for digest in before.keys() - after.keys()]
    relabelled = [
        f"{before[digest]} to {after[digest]}"
        for digest in before.keys() & after.keys()
        if before[digest] != after[digest]
    ]
    if len(before) != len(after):
        yield Change("Distinct images", str(len(before)), str(len(after)))
    for what, labels in (
        ("Images added", added),
        ("Images removed", removed),
        ("Images relabelled", relabelled),
    ):
        if labels:
            yield Change(what, NONE, f"{len(labels)} ({_counted(labels)})")
    counts_before, counts_after = Counter(before.values()), Counter(after.values())
    classes = sorted(counts_before.keys() | counts_after.keys())
    differing = [name for name in classes if counts_before[name] != counts_after[name]]
    for name in differing[:_MOST_NAMED]:
        yield Change(f"Distinct images of {name}", str(counts_before[name]), str(counts_after[name]))
    if len(differing) > _MOST_NAMED:
        yield Change(f"{len(differing) - _MOST_NAMED} more classes", NONE, "other counts")


def _counted(labels: list[str]) -> str:
    common = Counter(labels).most_common()
    named = ", ".join(f"{count} {label}" for label, count in sorted(common[:_MOST_NAMED]))
    more = len(common) - _MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named


def _figures(before: Mapping[str, Estimate], after: Mapping[str, Estimate]) -> Iterator[Change]:
    for name, title in _FIGURES.items():
        old, new = (NONE if name not in side else with_interval(side[name]) for side in (before, after))
        if old != new:
            yield Change(f"{title}, each on its own images", old, new)


def _differing(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str) -> Iterator[Change]:
    for key in sorted(before.keys() | after.keys()):
        old, new = _value(before.get(key)), _value(after.get(key))
        if old != new:
            yield Change(f"{prefix}{key.replace('_', ' ')}", old, new)


def _value(value: Any) -> str:
    if value is None:
        return NONE
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        flat |= _flat(item, f"{name}, ") if isinstance(item, Mapping) else {name: item}
    return flat
