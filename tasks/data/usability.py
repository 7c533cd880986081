"""Whether a catalogue can be trained on and evaluated honestly; if not, it is said before any training."""

from typing import Final

from tasks.data.catalogue_table import CatalogueTable
from tasks.data.settings import ABSURD_GROUP
from tasks.errors import ConfigError, DataSetUnusable, TooManyRejects
from tasks.images.reject_reasons import RejectReason

_NAMED: Final = 5


def check_usable(
    table: CatalogueTable,
    positive_class: str | None,
    max_reject_fraction: float,
    max_group_fraction: float = 1.0,
) -> None:
    """Stop when the images or labels do not allow what is asked.

    Unlabelled files do not count as rejects: they wait for a label. Every class must stand in every fold,
    so that every model learns and is reported on all classes.

    Raises:
        TooManyRejects: with a table of reasons.
        DataSetUnusable: no image, one class, a class that is missing from a fold, or a group of copies that
            holds more than `max_group_fraction` of the contents.
        ConfigError: `positive_class` is no class of the data.
    """
    _check_rejects(table, max_reject_fraction)
    _check_groups(table, max_group_fraction)
    classes = table.classes
    if len(classes) < 2:
        found = f"one class, {classes[0]!r}" if classes else "no usable labelled image"
        raise DataSetUnusable(
            f"the data set has {found}; a classifier needs at least 2 classes",
            cure="put the images in one folder a class, or give a manifest with labels",
        )
    if positive_class is not None and positive_class not in classes:
        raise ConfigError(
            f"positive_class={positive_class!r} is no class of the data set ({', '.join(classes)})",
            cure="name one of its classes",
        )
    _check_folds(table)


def _check_folds(table: CatalogueTable) -> None:
    by_fold = table.groups_by_fold()
    missing = {
        label: [str(fold) for fold, groups in enumerate(by_fold) if groups[label] == 0]
        for label in table.classes
    }
    lacking = [label for label, folds in missing.items() if folds]
    if not lacking:
        return
    told = [
        f"class {label!r} has {sum(fold[label] for fold in by_fold)} groups of images and none in fold "
        f"{', '.join(missing[label])}"
        for label in lacking[:_NAMED]
    ]
    more = (
        f"\nand {len(lacking) - _NAMED} more of {len(table.classes)} classes" if len(lacking) > _NAMED else ""
    )
    named = ", ".join(repr(label) for label in lacking[:_NAMED]) + (", ..." if more else "")
    raise DataSetUnusable(
        "\n".join(told) + f"{more}; each of the {table.n_folds} folds needs at least 1",
        cure=f"add independent images of {named}, or begin a data set of another name with fewer folds; copies of the "
        "same image do not count",
    )


def _check_groups(table: CatalogueTable, max_group_fraction: float) -> None:
    sizes = table.frame.drop_duplicates("sha256")["group"].value_counts()
    if sizes.empty or sizes.iloc[0] <= max(ABSURD_GROUP, max_group_fraction * sizes.sum()):
        return
    first = table.frame[table.frame["group"] == sizes.index[0]]["path"].iloc[:3]
    raise DataSetUnusable(
        f"one group of copies holds {sizes.iloc[0]} of {sizes.sum()} contents, {', '.join(first)} among them "
        f"(max_group_fraction={max_group_fraction}): either nearly all images show the same, or the rule joins what "
        "only looks alike",
        cure="look at near_pairs of a smaller part of the data; make the rule stricter (copies.min_alignment up, "
        "copies.max_hash_distance down; --min-alignment, --max-hash-distance) or switch the search for near copies "
        "off (copies.search; --no-near-copies), or raise max_group_fraction when they are copies indeed or "
        "share a group",
    )


def _check_rejects(table: CatalogueTable, max_reject_fraction: float) -> None:
    rejects = table.rejects[table.rejects["reason"] != str(RejectReason.label_missing)]
    total = len(rejects) + len(table.frame)
    if total == 0 or len(rejects) <= max_reject_fraction * total:
        return
    lines = [f"{'reason':<20} {'files':>6}  for example"]
    for reason, rows in rejects.groupby("reason"):
        first = rows.iloc[0]
        lines.append(f"{reason!s:<20} {len(rows):>6}  {first['path']}: {first['detail']}")
    raise TooManyRejects(
        f"{len(rejects)} of {total} labelled files cannot be used ({len(rejects) / total:.1%}; "
        f"max_reject_fraction={max_reject_fraction})\n" + "\n".join(lines),
        cure="repair or remove these files, or raise max_reject_fraction",
    )
