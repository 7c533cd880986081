"""Class balance: how many images and groups of copies or patients each class has, and what follows from it."""

import pandas as pd
from pydantic import Field

from tasks.record import Frozen

FEW_GROUPS = 20
"""Groups of a class below which its recall is too unsure to judge by: all of 20 found leaves 84 to 100 % (Wilson)."""

HIGH_RATIO = 10.0
"""Images of the largest class for one of the smallest above which accuracy says little."""

_MOST_NAMED = 5


class ClassSize(Frozen):
    """What there is of one class."""

    name: str = Field(description="The class.")
    images: int = Field(ge=0, description="Usable files.")
    groups: int = Field(ge=0, description="Groups of copies, or of patients where a key was given.")


class ClassBalance(Frozen):
    """All classes, and how unequal they are."""

    classes: tuple[ClassSize, ...] = Field(description="By name.")
    ratio: float = Field(ge=1, description="Images of the largest class for one of the smallest.")
    warnings: tuple[str, ...] = Field(description="What a reader should know, in sentences.")


def class_balance(labels: "pd.Series[str]", groups: "pd.Series[str]") -> ClassBalance:
    """Count images and groups of each class: `labels` and `groups` (n,), n >= 1, a row an image."""
    frame = pd.DataFrame({"label": labels, "group": groups})
    counted = frame.groupby("label")["group"].agg(["size", "nunique"]).sort_index()
    classes = tuple(
        ClassSize(name=str(name), images=int(images), groups=int(found))
        for name, images, found in counted.itertuples()
    )
    sizes = [row.images for row in classes]
    ratio = max(sizes) / min(sizes)
    return ClassBalance(classes=classes, ratio=round(ratio, 2), warnings=tuple(_warnings(classes, ratio)))


def _warnings(classes: tuple[ClassSize, ...], ratio: float) -> list[str]:
    found = []
    few = sorted((row for row in classes if row.groups < FEW_GROUPS), key=lambda row: row.groups)
    if few:
        named = ", ".join(f"{row.name} ({row.groups})" for row in few[:_MOST_NAMED])
        more = f" and {len(few) - _MOST_NAMED} more classes" if len(few) > _MOST_NAMED else ""
        found.append(
            f"Fewer than {FEW_GROUPS} groups of images: {named}{more}. Figures of such a class are very "
            "unsure, whatever the model; collect images of more patients (copies do not count)."
        )
    if ratio > HIGH_RATIO:
        largest, smallest = max(classes, key=lambda row: row.images), min(classes, key=lambda row: row.images)
        share = largest.images / sum(row.images for row in classes)
        found.append(
            f"The largest class ({largest.name}) has {ratio:.0f} times the images of the smallest ({smallest.name}): "
            f"always answering {largest.name} would be right for {100 * share:.0f}\u00a0% of the images. Read the "
            "recall of each class, not the accuracy."
        )
    return found
