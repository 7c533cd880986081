"""Whether a catalogue can be trained on and evaluated honestly; if not, it is said before any training."""

from collections.abc import Mapping
from typing import Final

from tasks.data.catalogue_table import CatalogueTable
from tasks.data.contradictions import contradicting_classes, lost_to_contradictions
from tasks.data.labels import is_no_image
from tasks.data.settings import LEAST_FOLDS
from tasks.errors import ConfigError, DataSetUnusable, TooManyRejects
from tasks.images.reject_reasons import RejectReason

_NAMED: Final = 5
_LIMITS: Final = {
    RejectReason.too_small: "lower min_side_px (--min-side-px)",
    RejectReason.decompression_bomb: "raise max_pixels (--max-pixels)",
}
"""What lets files pass that were refused for a limit of ours."""


def check_usable(
    table: CatalogueTable,
    positive_class: str | None,
    max_reject_fraction: float,
    labels: Mapping[str, str] | None = None,
) -> None:
    """Stop when the images or labels do not allow what is asked.

    Unlabelled files do not count as rejects: they wait for a label. Every class must stand in every fold,
    so that every model learns and is reported on all classes. `labels` are those of all files by path, so that a class
    of which no file can be used is missed.

    Raises:
        TooManyRejects: with a table of reasons.
        DataSetUnusable: no image, one class, a class of which nothing is left, or a class that is missing from a
            fold or from a side of a given split.
        ConfigError: `positive_class` is no class of the data.
    """
    _check_lost_classes(table, labels or {})
    _check_rejects(table, max_reject_fraction)
    _check_contradictions(table)
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
    _check_given_split(table)
    _check_folds(table)


def _check_lost_classes(table: CatalogueTable, labels: Mapping[str, str]) -> None:
    rejects = table.rejects[table.rejects["reason"] != str(RejectReason.label_missing)]
    label_of = rejects["path"].map(labels)
    left = set(table.frame["label"])
    lost = [
        label
        for label in sorted(set(label_of.dropna()) - left)
        if not all(is_no_image(path) for path in rejects.loc[label_of == label, "path"])
    ]
    if not lost:
        return
    told = []
    for label in lost[:_NAMED]:
        rows = rejects[label_of == label]
        reasons = ", ".join(f"{reason} {count}" for reason, count in rows["reason"].value_counts().items())
        first = rows.iloc[0]
        told.append(
            f"class {label!r}: none of its {len(rows)} files can be used ({reasons}), such as {first['path']}: "
            f"{first['detail']}"
        )
    named = ", ".join(map(repr, lost[:_NAMED])) + (", ..." if len(lost) > _NAMED else "")
    raise DataSetUnusable(
        "\n".join(told),
        cure=f"export the files of {named} as PNG, JPEG or TIFF, or take them out of the data set if they are no "
        "class",
    )


def _check_contradictions(table: CatalogueTable) -> None:
    frame = table.frame
    lost = lost_to_contradictions(frame)
    if lost:
        named = ", ".join(map(repr, lost[:_NAMED])) + (", ..." if len(lost) > _NAMED else "")
        raise DataSetUnusable(
            f"every picture of {named} stands under another class too\n"
            + "\n".join(contradicting_classes(frame)),
            cure="keep each picture under one class: if the data set was unpacked twice, remove the folder that is the "
            "copy; if it is another kind of folder, name the one above the classes with --images",
        )
    if len(frame) > 1 and frame["pixel_sha256"].nunique() == 1:
        raise DataSetUnusable(
            f"all {len(frame)} usable files show the same picture, such as {frame['path'].iloc[0]} and "
            f"{frame['path'].iloc[1]}",
            cure="look at the files: an export that went wrong writes one picture under all names; export them again",
        )


def _check_given_split(table: CatalogueTable) -> None:
    """A class must be learnt and reported on: it stands on both sides of a split that is given."""
    rows = table.contents
    if not (rows["split"] != "").any():
        return
    of_test = rows["split"] == "test"
    if not of_test.any():
        raise DataSetUnusable(
            "the given split has a training part and no test part",
            cure="give it one (a folder test beside train, or test in the table's column), or leave the split out: "
            "class folders alone, or --split-column none",
        )
    if of_test.all():
        raise DataSetUnusable(
            f"all {len(rows)} images are in the given test part: nothing is left to learn from",
            cure="add training images, or leave the split out: class folders alone, or --split-column none",
        )
    for side, other, missing in (
        ("test", "training", set(rows["label"]) - set(rows.loc[of_test, "label"])),
        ("training", "test", set(rows["label"]) - set(rows.loc[~of_test, "label"])),
    ):
        if missing:
            named = ", ".join(map(repr, sorted(missing)[:_NAMED])) + (
                ", ..." if len(missing) > _NAMED else ""
            )
            raise DataSetUnusable(
                f"the given {side} part has no image of {named}, the {other} part has: a class that is not on both "
                "sides cannot be both learnt and reported on",
                cure=f"put images of {named} into the {side} part, or take the class out of the data set",
            )


def _check_folds(table: CatalogueTable) -> None:
    by_fold = table.groups_by_fold()
    lacking = [label for label in table.classes if any(groups[label] == 0 for groups in by_fold)]
    if not lacking:
        return
    given = bool((table.contents["split"] == "test").any())
    counts = {label: _groups_to_report(table, label, given=given) for label in lacking}
    least = min(counts.values())
    needed, part = (table.n_folds - 1, " of the training part") if given else (table.n_folds, "")
    told = [_few_groups(table, label, counts[label], part, given=given) for label in lacking[:_NAMED]]
    more = (
        f"\nand {len(lacking) - _NAMED} more of {len(table.classes)} classes" if len(lacking) > _NAMED else ""
    )
    named = ", ".join(repr(label) for label in lacking[:_NAMED]) + (", ..." if more else "")
    fewer = least + given
    ways = [
        f"add images of {named} that are of other patients and no copies, until there are {needed} groups of each"
    ]
    if LEAST_FOLDS <= fewer < table.n_folds:
        ways.append(f"begin a data set of another --name with --folds {fewer}")
    else:
        ways.append(f"take {named} out of the data set, or join it with another class")
    raise DataSetUnusable(
        "\n".join(told)
        + f"{more}; {table.n_folds} folds need at least {needed} groups of each class{part}, one in each",
        cure=", or ".join(ways),
    )


def _groups_to_report(table: CatalogueTable, label: str, *, given: bool) -> int:
    """Groups of a class that can be reported on; with a given split, those of the training part alone."""
    rows = table.contents
    rows = rows[(rows["label"] == label) & (rows["straddles"] == "")]
    if given:
        of_test = rows.loc[rows["split"] == "test", "group"]
        rows = rows[~rows["group"].isin(of_test)]
    return int(rows["group"].nunique())


def _few_groups(table: CatalogueTable, label: str, groups: int, part: str, *, given: bool) -> str:
    rows = table.frame[(table.frame["label"] == label) & ~table.frame["conflict"]]
    if given:
        rows = rows[rows["split"] != "test"]
    number = f"{groups} group{'' if groups == 1 else 's'}"
    return (
        f"class {label!r} has {len(rows)} images{part} in {number} (images of one patient, or copies of one another, "
        "are one group)"
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
        cure="repair or remove these files"
        + "".join(
            f", or {way}" for reason, way in _LIMITS.items() if (rejects["reason"] == str(reason)).any()
        )
        + ", or raise max_reject_fraction (--max-reject-fraction)",
    )
