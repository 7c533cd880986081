"""Whether a catalogue can be trained on and evaluated honestly; if not, it is said before any training."""

from tasks.data.catalogue import CatalogueTable
from tasks.data.images import RejectReason
from tasks.errors import ConfigError, DataSetUnusable, TooManyRejects


def check_usable(table: CatalogueTable, positive_class: str | None, max_reject_fraction: float) -> None:
    """Stop when the images or labels do not allow what is asked.

    Unlabelled files do not count as rejects: they wait for a label. Every class must stand in every fold,
    so that every model learns and is reported on all classes.

    Raises:
        TooManyRejects: with a table of reasons.
        DataSetUnusable: no image, one class, or a class that is missing from a fold.
        ConfigError: `positive_class` is no class of the data.
    """
    _check_rejects(table, max_reject_fraction)
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
    by_fold = table.groups_by_fold()
    for label in classes:
        missing = [str(fold) for fold, groups in enumerate(by_fold) if groups[label] == 0]
        if missing:
            groups = sum(fold[label] for fold in by_fold)
            raise DataSetUnusable(
                f"class {label!r} has {groups} independent groups of images and none in fold "
                f"{', '.join(missing)}; each of the {table.n_folds} folds needs at least 1",
                cure=f"add independent images of {label!r}, or begin a data set of another name with fewer "
                "folds; copies of the same image do not count",
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
