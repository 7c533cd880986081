"""Where each image and each patient went: from what the store holds to what the figures are about."""

from collections.abc import Collection

import pandas as pd
from pydantic import Field

from tasks.record import Frozen

# Of files that several reasons leave out, the first one counts.
_UNLABELLED = "without a label"
_REJECTED = "not usable"
_CONFLICT = "the same content under two labels"
_BESIDE = "training images of the given split that touch the test part"
_LEARNT = "for training only, outside the part that is reported on"
_UNJUDGED = "no network may judge them: each has learnt from a copy"
_EVALUATED = "the figures are about these"


class FlowStep(Frozen):
    """One way that images went."""

    what: str = Field(description="Why they went there, in words.")
    kept: bool = Field(description="Whether the figures are about them.")
    images: int = Field(ge=0, description="Files.")
    patients: int | None = Field(
        description="Different patients among them; None where patients are unknown."
    )
    by_class: dict[str, int] = Field(description="Files of each class, as they are labelled.")


class ImageFlow(Frozen):
    """All files of the store, each in one step."""

    images: int = Field(ge=0, description="Files that were found.")
    patients: int | None = Field(description="Different patients on them; None where patients are unknown.")
    steps: tuple[FlowStep, ...] = Field(
        description="In the order of the way, exclusions first; empty ones left out."
    )


def image_flow(
    listed: pd.DataFrame,
    rejects: pd.DataFrame,
    rows: pd.DataFrame,
    evaluated: Collection[str],
) -> ImageFlow:
    """Put each listed file into one step.

    `listed` has path, label (missing where there is none) and patient (a key, missing where there is none); `rejects`
    path and reason; `rows`, the usable files, path, conflict and the flags beside_test and reported; `evaluated` are
    paths.
    """
    frame = listed[["path", "label", "patient"]].copy()
    refused = rejects[rejects["reason"] != "label_missing"].set_index("path")["reason"]
    usable = rows.set_index("path")
    frame["what"] = _UNJUDGED
    flags = {
        name: frame["path"].map(usable[name]).eq(True) for name in ("conflict", "beside_test", "reported")
    }
    frame.loc[~flags["reported"], "what"] = _LEARNT
    frame.loc[flags["beside_test"], "what"] = _BESIDE
    frame.loc[frame["path"].isin(set(evaluated)), "what"] = _EVALUATED
    frame.loc[flags["conflict"], "what"] = _CONFLICT
    reasons = frame["path"].map(refused)
    named = _REJECTED + ": " + reasons.astype(str).str.replace("_", " ")
    frame["what"] = frame["what"].mask(reasons.notna(), named)
    frame.loc[frame["label"].isna(), "what"] = _UNLABELLED
    known = bool(frame["patient"].notna().all()) and len(frame) > 0
    found = {str(what): part for what, part in frame.groupby("what")}
    order = [_UNLABELLED, *sorted(name for name in found if name.startswith(f"{_REJECTED}:"))]
    order += [_CONFLICT, _BESIDE, _LEARNT, _UNJUDGED, _EVALUATED]
    return ImageFlow(
        images=len(frame),
        patients=int(frame["patient"].nunique()) if known else None,
        steps=tuple(
            FlowStep(
                what=what,
                kept=what == _EVALUATED,
                images=len(found[what]),
                patients=int(found[what]["patient"].nunique()) if known else None,
                by_class={
                    str(k): int(v) for k, v in found[what]["label"].value_counts().sort_index().items()
                },
            )
            for what in order
            if what in found
        ),
    )
