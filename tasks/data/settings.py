"""Where images and labels are, and how they are checked and kept apart."""

from typing import Annotated, Final, Literal

from pydantic import Field, field_validator

from tasks.copies.settings import NearCopyRule
from tasks.images.settings import DecodeLimits
from tasks.record import Frozen
from tasks.stores.urls import StoreUrl

CopyAnswer = Annotated[str, Field(pattern=r"^\s*\S.* \| .*\S\s*$")]
"""Two paths that show different things: `path | other path`."""

Protocol = Literal["cross_validation", "holdout", "given_split"]
"""How images are kept apart for evaluation."""


CROSS_VALIDATION_BELOW = 2_000


LEAST_FOLDS: Final = 3


class LabelReading(Frozen, title="Reading labels"):
    """How labels are read from folders and from a table."""

    path_column: str | None = Field(
        default=None,
        min_length=1,
        description="Column of the table that names the image. Left out: path, or image_url.",
    )
    label_column: str | None = Field(
        default=None,
        min_length=1,
        description="Column with the class; none: each folder is a class. Left out: label.",
    )
    group_column: str | None = Field(
        default=None,
        min_length=1,
        description="Column whose values say which images belong together, as of one patient; none: no column does. "
        "Left out: group, or one that is called like a patient, subject, case, study or lesion, which is told.",
    )
    split_column: str | None = Field(
        default=None,
        min_length=1,
        description="Column with train and test; none: none. Left out: split, or the one whose name ends so.",
    )
    keep_labels: tuple[str, ...] = Field(
        default=(),
        description="Texts such as NA that are a class here; programs write them where a value is missing, and images "
        "with them count as unlabelled otherwise.",
    )
    subgroup_columns: tuple[str, ...] = Field(
        default=(),
        max_length=12,
        description="Columns of the table by which the report gives its figures too, such as site, scanner, sex, age, "
        "year. They are copied into the workspace; a patient's name or number has no place there.",
    )
    join_spellings: bool = Field(
        default=True,
        description="Whether labels that differ only in how they are written (Yes, yes, YES; 1, 1.0) are one class.",
    )

    @field_validator("subgroup_columns")
    @classmethod
    def _named_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("a column is named twice")
        return names


class ImagesSource(Frozen, title="Images"):
    """Where the images and their labels are."""

    url: StoreUrl = Field(
        min_length=1,
        title="Images",
        description="fsspec URL or folder: az://container/folder, s3://..., gs://..., /data/scans.",
    )
    block: str | None = Field(
        default=None, description="Name of a Lightbox Datastore block with the secrets for this URL."
    )
    manifest: StoreUrl | None = Field(
        default=None,
        description="URL or path of a CSV, Parquet or JSON-lines table with the columns path, label and "
        "optionally group, split (or any name ending so) and sha256, which is verified. Left out, each folder is "
        "a class; so it is where the table gives a split but no label.",
    )
    labels: LabelReading = Field(
        default=LabelReading(), description="Which columns say what, and how labels are read."
    )


class CatalogueSettings(Frozen, title="Checks, copies and folds"):
    """How images are checked and kept apart."""

    max_reject_fraction: float = Field(
        default=0.1, ge=0, le=1, description="Unusable images above this share stop the run."
    )
    n_folds: int = Field(
        default=5, ge=LEAST_FOLDS, le=20, description="Folds of the ledger, fixed at the first run."
    )
    protocol: Protocol | None = Field(
        default=None,
        description="How images are kept apart for evaluation. Left out: a split given with the data is "
        f"honoured; else cross-validation below {CROSS_VALIDATION_BELOW} images, a hold-out from there on.",
    )
    decode: DecodeLimits = Field(default=DecodeLimits(), description="What counts as a usable image.")
    copies: NearCopyRule = Field(default=NearCopyRule(), description="What counts as a near copy.")
    not_copies: tuple[CopyAnswer, ...] = Field(
        default=(),
        description="Pairs of images that a person found to be no copies of one another, each as 'path | other path'.",
    )
