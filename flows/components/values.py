"""What wires carry at run time: the records of stages, each with what it stands on. A class for each type of port.

`told` is what a person is shown of a value, and what a run keeps of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final

from flows.components.settings import Network as NetworkChoice
from flows.config import DataSet
from tasks.audit import Audit
from tasks.automl.chosen import SearchResult
from tasks.catalogue import Catalogue as CatalogueRecord
from tasks.check_robustness import Robustness
from tasks.clinical import Clinical
from tasks.compare import ComparedModels
from tasks.data.settings import ImagesSource
from tasks.decide import Verdict
from tasks.describe import Described
from tasks.engine.run import Run
from tasks.evaluate import EvaluatedBundle
from tasks.export import ExportedBundle
from tasks.fine_tune import TrainedMembers
from tasks.ingest import Ingested, Listing
from tasks.label_status import LabelStatus
from tasks.pipeline.ports import PortType
from tasks.predict import UnseenPredictions
from tasks.prepare import ImageCache
from tasks.promote import Promotion as PromotionRecord
from tasks.promote import Published
from tasks.report import Report as ReportRecord
from tasks.score import Scores as ScoresRecord
from tasks.training.drawn import ImageTransformation
from tasks.training.recipes import PresetName

Told = dict[str, Any]

RECORD: Final = "record"
"""The field in which a value has what its stage answered."""


@dataclass(frozen=True)
class Images:
    """Labelled images as they lie in their store."""

    run: Run
    about: DataSet
    source: ImagesSource
    ingested: Ingested

    @property
    def listing(self) -> Listing:
        """The images by content."""
        return self.ingested.listing

    @property
    def told(self) -> Told:
        """How many."""
        listing = self.listing
        return {
            "images": listing.images,
            "unlabelled": listing.unlabelled,
            "fetched": self.ingested.transferred,
        }


@dataclass(frozen=True)
class Catalogue:
    """Images that were checked and grouped."""

    images: Images
    record: CatalogueRecord

    @property
    def told(self) -> Told:
        """Counts."""
        return self.record.summary.model_dump(mode="json") | {"digest": self.record.digest_of_rows}


@dataclass(frozen=True)
class Folds:
    """All images, and who is held out from whom."""

    checked: Catalogue
    record: CatalogueRecord

    @property
    def images(self) -> Images:
        """Where they are."""
        return self.checked.images

    @property
    def told(self) -> Told:
        """The protocol."""
        return {"protocol": self.record.protocol, "members": len(self.record.plans)}


@dataclass(frozen=True)
class Findings:
    """What is doubtful about the images."""

    checked: Catalogue
    record: Audit

    @property
    def told(self) -> Told:
        """The warnings."""
        return {"warnings": list(self.record.findings.warnings)}


@dataclass(frozen=True)
class Transformation:
    """How an image is prepared, and changed at random in training."""

    record: ImageTransformation

    @property
    def told(self) -> Told:
        """Its settings."""
        return self.record.model_dump(mode="json")


@dataclass(frozen=True)
class Network:
    """A network and where it begins."""

    record: NetworkChoice

    @property
    def told(self) -> Told:
        """Its settings."""
        return self.record.model_dump(mode="json")


@dataclass(frozen=True)
class Recipe:
    """A recipe for each fold, found without that fold."""

    folds: Folds
    record: SearchResult

    @property
    def told(self) -> Told:
        """How many were tried."""
        return {"tried": len(self.record.leaderboard), "served": self.record.chosen.served.backbone}


@dataclass(frozen=True)
class Members:
    """Trained networks."""

    folds: Folds
    pixels: tuple[ImageCache, ...]
    preset: PresetName
    record: TrainedMembers

    @property
    def told(self) -> Told:
        """How many, and what happened on the way."""
        return {
            "members": len(self.record.members),
            "served": self.record.served,
            "notes": self.record.all_notes,
        }


@dataclass(frozen=True)
class Model:
    """A bundle of trained networks."""

    members: Members
    record: ExportedBundle

    @property
    def told(self) -> Told:
        """Where it is."""
        folder = self.members.folds.images.run.open_workspace().uri(self.record.folder)
        return {"bundle": folder, "parity": self.record.parity}


@dataclass(frozen=True)
class Predictions:
    """What members say of images that they never saw."""

    model: Model
    record: UnseenPredictions

    @property
    def told(self) -> Told:
        """Of how many contents."""
        return {"contents": self.record.contents}


@dataclass(frozen=True)
class Evaluation:
    """Honest figures."""

    predictions: Predictions
    findings: Findings
    record: EvaluatedBundle
    clinical: Clinical
    described: Described
    robustness: Robustness | None

    @property
    def told(self) -> Told:
        """The figures."""
        return self.record.evaluation.model_dump(mode="json")


@dataclass(frozen=True)
class Decision:
    """Whether a model is good enough."""

    evaluation: Evaluation
    record: Verdict

    @property
    def told(self) -> Told:
        """The verdict with its reasons."""
        decision = self.record.decision
        return {"verdict": decision.verdict, "reasons": list(decision.reasons)}


@dataclass(frozen=True)
class Version:
    """A version of the registry; without an evaluation where it was there before the run."""

    run: Run
    uri: str
    number: str
    evaluation: Evaluation | None = None
    record: Published | None = None

    @property
    def told(self) -> Told:
        """Its number and address."""
        return {"version": self.number, "uri": self.uri}


@dataclass(frozen=True)
class Promotion:
    """Which version is served."""

    version: Version
    decision: Decision
    record: PromotionRecord

    @property
    def told(self) -> Told:
        """The version that was judged, and the one that is served."""
        return {"version": self.record.version, "champion": self.record.champion}


@dataclass(frozen=True)
class Report:
    """A page for people."""

    evaluation: Evaluation
    decision: Decision
    version: Version
    record: ReportRecord

    @property
    def told(self) -> Told:
        """Where it is."""
        return {"report": self.record.uri, "suspect_images": self.record.suspect_images}


@dataclass(frozen=True)
class Comparison:
    """Two models on images that neither saw."""

    record: ComparedModels

    @property
    def told(self) -> Told:
        """All figures."""
        return self.record.model_dump(mode="json")


@dataclass(frozen=True)
class Scores:
    """What a model says of a store."""

    record: ScoresRecord

    @property
    def told(self) -> Told:
        """Counts, and where they are."""
        return self.record.model_dump(mode="json")


@dataclass(frozen=True)
class Labels:
    """What people were asked, and answered."""

    record: LabelStatus

    @property
    def told(self) -> Told:
        """How far the labelling is."""
        return self.record.model_dump(mode="json")


Value = (
    Images
    | Catalogue
    | Folds
    | Findings
    | Transformation
    | Network
    | Recipe
    | Members
    | Model
    | Predictions
    | Evaluation
    | Comparison
    | Decision
    | Version
    | Promotion
    | Report
    | Scores
    | Labels
)


def standing_on(value: object, kind: PortType) -> frozenset[str]:
    """The digests of all values of a type that a value stands on, itself included."""
    return frozenset(_records(value, kind))


def _records(value: Any, kind: PortType) -> Iterator[str]:
    if is_dataclass(value) and type(value).__name__ == kind:
        yield getattr(value, RECORD).digest
    elif is_dataclass(value):
        for one in fields(value):
            yield from _records(getattr(value, one.name), kind)
