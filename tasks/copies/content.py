"""One distinct content of a data set: what copies are looked for among, and what the fold ledger keeps."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Content:
    """One distinct file content, wherever and however often it stands in the store.

    `dhash` is hexadecimal. `keys` are given group keys (a patient, a study), as `PatientKeys` makes them.
    `label` is None when the content has no label that can be learnt: a conflict, or content of earlier runs
    that is gone. `side_px` is the shorter side of the picture in pixels, None of one that is gone.
    """

    sha256: str
    pixel_sha256: str
    dhash: str
    keys: tuple[str, ...] = ()
    label: str | None = None
    split: Literal["train", "test"] | None = None
    side_px: int | None = None
