"""What stands in a report, as typed sections: facts and pictures only, no layout."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from tasks.automl.tried import Tried
from tasks.data.flow import ImageFlow
from tasks.data.given_split import Leak
from tasks.evaluation.balance import ClassBalance
from tasks.evaluation.comparison import Comparison
from tasks.evaluation.gate import Decision
from tasks.evaluation.intervals import Floats, Ints
from tasks.evaluation.metrics import Evaluation
from tasks.evaluation.patients import PatientFacts
from tasks.evaluation.practice import InPractice
from tasks.evaluation.promise import OperatingFacts
from tasks.evaluation.robustness import AfterChange
from tasks.evaluation.shortcuts import Shortcut
from tasks.evaluation.subgroups import Subgroups
from tasks.models.about import AboutDataSet
from tasks.pages.changes import Change
from tasks.pages.plots import EpochFigures

MOST_WORST_ERRORS = 12
MOST_SUREST_HITS = 6
MOST_SUSPECTS = 24
MOST_COPY_GROUPS = 12
MOST_PICTURES_A_GROUP = 6


@dataclass(frozen=True)
class EvaluatedPredictions:
    """The predictions behind the evaluation: one row an image.

    labels, predicted, groups int64 (n,); probabilities float64 (n, classes).
    """

    labels: Ints
    probabilities: Floats
    predicted: Ints
    groups: Ints

    def worst(self, most: int) -> Ints:
        """Rows of the wrongly predicted images, those surest of the wrong class first; one a group."""
        wrong = np.flatnonzero(self.predicted != self.labels)
        return self._one_a_group(wrong[np.argsort(self._of_truth[wrong], kind="stable")], most)

    def surest(self, most: int, positive: int | None) -> Ints:
        """Rows of the rightly predicted images (of the positive class, if any), the surest first; one a group."""
        right = self.predicted == self.labels
        hits = np.flatnonzero(right if positive is None else right & (self.labels == positive))
        return self._one_a_group(hits[np.argsort(-self._of_truth[hits], kind="stable")], most)

    @property
    def _of_truth(self) -> Floats:
        return self.probabilities[np.arange(self.labels.size), self.labels]

    def _one_a_group(self, rows: Ints, most: int) -> Ints:
        _, first = np.unique(self.groups[rows], return_index=True)
        return rows[np.sort(first)][:most].astype(np.int64)


@dataclass(frozen=True)
class Finding:
    """What the positive class is in a reader's words, such as tumour and tumours."""

    one: str
    many: str


@dataclass(frozen=True)
class Serving:
    """What was served when the decision was made, and whose the figures are.

    `is_champion`: the champion is this very model, judged again.
    `figures_of` is "members" when each image was predicted by a member that had not seen it, "served" when the
    served model itself was evaluated.
    """

    version: str
    champion_version: str | None
    kind: Literal["average", "refit"]
    n_members: int
    figures_of: Literal["members", "served"]
    threshold: float | None
    temperature: float
    bundle_uri: str
    is_champion: bool = False
    operating: OperatingFacts | None = None


@dataclass(frozen=True)
class DataSetFacts:
    """The catalogue in numbers; `exact_copies` are files whose bytes are a copy of another's.

    `labelled` says in a sentence what people decided of the labels, if they did.
    """

    name: str
    url: str
    digest: str
    images: int
    groups: int
    exact_copies: int
    conflicts: int
    unlabelled: int
    class_counts: Mapping[str, int]
    labelled: str = ""


@dataclass(frozen=True)
class Picture:
    """One image in the report: pixels uint8 (H, W, 3) RGB; `overlay`, of the same kind, explains the prediction."""

    path: str
    label: str
    pixels: npt.NDArray[np.uint8]
    predicted: str | None = None
    probability: float | None = None
    note: str = ""
    overlay: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class CopyGroup:
    """Images found to be copies of one another; their notes say by what."""

    pictures: Sequence[Picture]
    note: str = ""


@dataclass(frozen=True)
class Reject:
    """A file that could not be used, and why."""

    path: str
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class SecondLook:
    """Figures on part of the images, shown beside the headline and never instead of it."""

    title: str
    why: str
    evaluation: Evaluation


@dataclass(frozen=True)
class History:
    """What differs from the version before this one."""

    version: str
    created: str
    changes: Sequence[Change]


@dataclass(frozen=True)
class SearchFacts:
    """How the recipe was found.

    `tried` is the leaderboard, best first. `best` is its greatest figure, over the very images that chose it; `honest`
    the same figure of the predictions that the report is about, by recipes whose choice never saw the image.
    """

    objective: str
    smaller_is_better: bool
    tried: Sequence[Tried]
    minutes: float
    best: float | None
    honest: float | None
    recipes: int


@dataclass(frozen=True)
class ReportContent:
    """Everything that a report says; sections without content do not appear.

    `explained` names the class that the overlays speak for, None where each speaks for the class predicted;
    `suspects`, `copies` and `likely_copies` show the first of `suspect_groups`, `copy_groups` and `copy_questions`.
    """

    created: str
    evaluation: Evaluation
    patients: PatientFacts
    predictions: EvaluatedPredictions
    decision: Decision
    serving: Serving
    dataset: DataSetFacts
    provenance: Mapping[str, str]
    seconds: Mapping[str, float]
    about: AboutDataSet = field(default_factory=AboutDataSet)
    flow: ImageFlow | None = None
    per_patient: Evaluation | None = None
    practice: InPractice | None = None
    subgroups: Sequence[Subgroups] = ()
    robustness: Sequence[AfterChange] = ()
    finding: Finding | None = None
    curves: Mapping[str, Sequence[EpochFigures]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    worst_errors: Sequence[Picture] = ()
    surest_hits: Sequence[Picture] = ()
    explained: str | None = None
    copies: Sequence[CopyGroup] = ()
    copy_groups: int = 0
    likely_copies: Sequence[CopyGroup] = ()
    copy_questions: int = 0
    rejects: Sequence[Reject] = ()
    suspects: Sequence[Picture] = ()
    suspect_groups: int = 0
    leak: Leak | None = None
    balance: ClassBalance | None = None
    shortcuts: Sequence[Shortcut] = ()
    second_looks: Sequence[SecondLook] = ()
    comparison: Comparison | None = None
    history: History | None = None
    search: SearchFacts | None = None
