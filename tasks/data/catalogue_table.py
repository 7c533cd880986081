"""The catalogue as a table: its columns, what they add up to, and its Parquet form."""

import hashlib
import io
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from tasks.errors import WorkspaceError
from tasks.images.reject_reasons import RejectReason
from tasks.record import Frozen

CATALOGUE_COLUMNS: Final = {
    "path": "str",
    "sha256": "str",
    "pixel_sha256": "str",
    "format": "str",
    "width": "int64",
    "height": "int64",
    "mode": "str",
    "size_bytes": "int64",
    "label": "str",
    "group": "str",
    "fold": "int64",
    "split": "str",
    "conflict": "bool",
    "straddles": "str",
    "multi_frame": "bool",
    "mean_intensity": "float64",
    "border_intensity": "float64",
}
"""Columns and their dtypes. `split` is "train", "test" or ""; `straddles` comma-separated folds or ""."""

REJECT_COLUMNS: Final = {"path": "str", "sha256": "str", "reason": "str", "detail": "str"}


class CatalogueSummary(Frozen):
    """What a catalogue holds, in figures."""

    images: int = Field(description="Usable labelled files.")
    contents: int = Field(description="Distinct files by SHA-256.")
    exact_copies: int = Field(description="Files whose bytes are a copy of another file's.")
    pixel_copies: int = Field(description="Distinct files whose pixels are a copy of another one's.")
    near_copies: int = Field(description="Distinct pictures beyond the first of their group.")
    groups: int = Field(description="Groups of copies, and of one patient's images where a key was given.")
    largest_group: int = Field(description="Contents of the largest group.")
    conflicts: int = Field(
        description="Contents that stand under several labels: neither learnt nor reported on."
    )
    label_disagreements: dict[str, list[str]] = Field(
        description="Groups whose near copies have different labels, with those labels; they are kept."
    )
    copy_questions: int = Field(
        default=0,
        exclude_if=lambda questions: questions == 0,
        description="Pairs of likely copies across given groups or labels, or that agree with no group as a whole: a "
        "person must judge them, and they are not reported on meanwhile.",
    )
    straddling: int = Field(
        description="Contents whose group touches several folds, or that may be copies of others: not reported on."
    )
    split_overlaps: int = Field(description="Groups with images in both the given training and test split.")
    multi_frame: int = Field(description="Files of several frames or pages, of which the first is used.")
    unlabelled: int = Field(description="Files without a label, kept apart.")
    rejects: dict[str, int] = Field(description="Unusable labelled files by reason.")
    images_by_class: dict[str, int] = Field(description="Usable files of each class.")
    groups_by_fold: list[dict[str, int]] = Field(description="For each fold, groups that hold each class.")


@dataclass(frozen=True)
class CatalogueTable:
    """The catalogue in memory.

    `frame` has CATALOGUE_COLUMNS, sorted by path; `rejects` has path, sha256, reason and detail.
    """

    frame: pd.DataFrame
    rejects: pd.DataFrame
    n_folds: int

    @cached_property
    def digest(self) -> str:
        """SHA-256 over path, content, label, group and fold of every row, whatever the order or the store."""
        rows = self.frame[["path", "sha256", "label", "group", "fold"]].values.tolist()
        lines = sorted(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @cached_property
    def contents(self) -> pd.DataFrame:
        """The usable rows, one a content, by digest: conflicts are left out, copies too; the first path is kept."""
        usable = self.frame[~self.frame["conflict"]]
        return usable.drop_duplicates("sha256").sort_values("sha256", ignore_index=True)

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels of the usable rows, in alphabetical order; their places are the class indices everywhere."""
        return tuple(sorted(self.contents["label"].unique().tolist()))

    @property
    def images(self) -> int:
        """Usable labelled files, conflicts included."""
        return len(self.frame)

    @property
    def exact_copies(self) -> int:
        """Files whose bytes are a copy of another file's."""
        return len(self.frame) - self.frame["sha256"].nunique()

    @property
    def groups(self) -> int:
        """Groups of copies, and of one patient's images where a key was given."""
        return int(self.frame["group"].nunique())

    def summary(self, copy_questions: int = 0) -> CatalogueSummary:
        """Count what there is; how many questions copies leave is said by their pairs."""
        frame, by_content = self.frame, self.frame.drop_duplicates("sha256")
        pictures = by_content["pixel_sha256"].nunique()
        reasons = self.rejects["reason"].value_counts().sort_index().to_dict()
        unlabelled = int(reasons.pop(str(RejectReason.label_missing), 0))
        labels = self.contents[["group", "label"]].drop_duplicates()
        labels = labels[labels["group"].duplicated(keep=False)].sort_values(["group", "label"])
        splits = frame[frame["split"] != ""].groupby("group")["split"].nunique()
        return CatalogueSummary(
            images=len(frame),
            contents=len(by_content),
            exact_copies=self.exact_copies,
            pixel_copies=len(by_content) - pictures,
            near_copies=pictures - self.groups,
            groups=self.groups,
            largest_group=int(by_content["group"].value_counts().max()) if len(frame) else 0,
            conflicts=int(by_content["conflict"].sum()),
            label_disagreements={
                str(group): found["label"].tolist() for group, found in labels.groupby("group")
            },
            copy_questions=copy_questions,
            straddling=int((by_content["straddles"] != "").sum()),
            split_overlaps=int((splits > 1).sum()),
            multi_frame=int(frame["multi_frame"].sum()),
            unlabelled=unlabelled,
            rejects={str(reason): int(count) for reason, count in reasons.items()},
            images_by_class={
                str(label): int(count) for label, count in frame["label"].value_counts().sort_index().items()
            },
            groups_by_fold=self.groups_by_fold(),
        )

    def groups_by_fold(self) -> list[dict[str, int]]:
        """For each fold, how many groups that may be reported on hold each class."""
        usable = self.contents[self.contents["straddles"] == ""]
        counts = usable.groupby(["fold", "label"])["group"].nunique().to_dict()
        return [
            {label: int(counts.get((fold, label), 0)) for label in self.classes}
            for fold in range(self.n_folds)
        ]

    def to_parquet(self) -> tuple[bytes, bytes]:
        """The catalogue and the rejects as Parquet files."""
        return _to_parquet(self.frame, self.n_folds), _to_parquet(self.rejects, self.n_folds)

    @classmethod
    def from_parquet(cls, catalogue: bytes, rejects: bytes) -> "CatalogueTable":
        """Read what `to_parquet` wrote.

        Raises:
            WorkspaceError: the bytes are no catalogue.
        """
        frame, n_folds = _from_parquet(catalogue, CATALOGUE_COLUMNS)
        return cls(frame, _from_parquet(rejects, REJECT_COLUMNS)[0], n_folds)


def typed(frame: pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    """The columns named, in that order and with those dtypes."""
    return frame[list(columns)].astype(columns)


def _to_parquet(frame: pd.DataFrame, n_folds: int) -> bytes:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    table = table.replace_schema_metadata(
        {**(table.schema.metadata or {}), b"n_folds": str(n_folds).encode()}
    )
    data = io.BytesIO()
    pq.write_table(table, data)
    return data.getvalue()


def _from_parquet(data: bytes, columns: dict[str, str]) -> tuple[pd.DataFrame, int]:
    try:
        table = pq.read_table(io.BytesIO(data))
        return typed(table.to_pandas(), columns), int(table.schema.metadata[b"n_folds"])
    except (pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise WorkspaceError(
            f"the catalogue cannot be read: {type(error).__name__}: {error}", cure="make the catalogue again"
        ) from error
