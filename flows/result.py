"""What a run returns: figures and references, as `out.json` shows them."""

from collections.abc import Sequence

from pydantic import Field

from tasks.audit import Audit, AuditFindings
from tasks.automl.chosen import SearchResult
from tasks.catalogue import Catalogue
from tasks.check_robustness import Robustness
from tasks.clinical import Clinical, ClinicalFigures
from tasks.data.flow import ImageFlow
from tasks.data.given_split import Leak
from tasks.decide import Verdict
from tasks.describe import Described
from tasks.engine.run import Run
from tasks.engine.stage import StageTiming
from tasks.evaluate import EvaluatedBundle
from tasks.evaluation.gate import Decision
from tasks.evaluation.metrics import Evaluation
from tasks.evaluation.promise import OperatingFacts
from tasks.fine_tune import TrainedMembers
from tasks.ingest import Ingested
from tasks.models.about import AboutDataSet
from tasks.notify import outcome_of
from tasks.promote import Promotion
from tasks.record import Frozen
from tasks.report import Report
from tasks.track import Tracked


class DataSetResult(Frozen):
    """The data set in figures."""

    name: str = Field(description="Its name.")
    digest: str = Field(description="Digest of its rows: the same data give the same one in any store.")
    images: int = Field(description="Labelled images that were found.")
    usable: int = Field(description="Of these, images that can be used.")
    exact_copies: int = Field(description="Usable files whose bytes are a copy of another file's.")
    groups: int = Field(description="Groups of copies, and of one patient's images where a key was given.")
    conflicts: int = Field(description="Contents that stand under two labels, kept out.")
    rejects: dict[str, int] = Field(description="Unusable images by reason.")
    unlabelled: int = Field(description="Images without a label, kept apart.")
    transferred: int = Field(description="Images fetched by this run.")


class RetrainResult(Frozen):
    """A run's outcome."""

    run: str = Field(description="Name of the run.")
    dataset: DataSetResult = Field(description="The data.")
    audit: AuditFindings = Field(description="What is doubtful about the data: class balance, shortcuts.")
    evaluation: Evaluation = Field(description="Honest figures.")
    about: AboutDataSet = Field(description="What people said of the data set.")
    flow: ImageFlow = Field(description="Where each image and patient went.")
    robustness: Robustness | None = Field(
        description="What small changes of the images do to the figures, where it was checked."
    )
    model_card: str = Field(description="Where the model card is.")
    clinical: ClinicalFigures = Field(description="What the figures mean for patients.")
    operating: OperatingFacts | None = Field(
        description="What may be promised of the served threshold; None without a positive class."
    )
    leak: Leak | None = Field(description="With a given split: copies that stand on both of its sides.")
    evaluation_without_leaks: Evaluation | None = Field(
        description="With a given split: figures of the test files without a copy among its training files."
    )
    search: SearchResult | None = Field(description="How the recipes were found, where they were.")
    notes: list[str] = Field(
        description="What happened on the way that one should know, of training network by network."
    )
    decision: Decision = Field(description="Whether the model is served, and why.")
    outcome: str = Field(description="What became of the model, in a sentence.")
    version: str = Field(description="Version under which the model is registered.")
    champion: str | None = Field(description="Version that is served from now on.")
    bundle: str = Field(description="Where the model is.")
    report: str = Field(description="Where the report is.")
    tracked: str | None = Field(description="Where the MLflow run is, if MLflow was told.")
    predictions: str = Field(description="Where the table of honest predictions is, a row an image.")
    suspects: str = Field(description="Where the table of suspect labels is; none is dropped by itself.")
    suspect_images: int = Field(description="Images with a suspect label.")
    seconds: dict[str, float] = Field(description="Wall-clock seconds by stage, orchestration and total.")
    reused: list[str] = Field(description="Stages whose earlier result was taken.")

    @classmethod
    def of(
        cls,
        run: Run,
        ingested: Ingested,
        found: Catalogue,
        audited: Audit,
        members: TrainedMembers,
        evaluated: EvaluatedBundle,
        clinical: Clinical,
        described: Described,
        robustness: Robustness | None,
        verdict: Verdict,
        promoted: Promotion,
        page: Report,
        tracked: Tracked | None,
        timings: Sequence[StageTiming],
        *,
        total_seconds: float,
    ) -> "RetrainResult":
        """Gather what the stages of a run handed on."""
        summary = found.summary
        seconds = {row.stage: row.seconds for row in timings}
        in_stages = sum(row.seconds for row in timings)
        seconds["orchestration"] = round(max(0.0, total_seconds - in_stages), 3)
        seconds["total"] = round(total_seconds, 3)
        return cls(
            run=run.id,
            dataset=DataSetResult(
                name=run.name,
                digest=found.digest_of_rows,
                images=ingested.listing.images,
                usable=summary.images,
                exact_copies=summary.exact_copies,
                groups=summary.groups,
                conflicts=summary.conflicts,
                rejects=summary.rejects,
                unlabelled=ingested.listing.unlabelled,
                transferred=ingested.transferred,
            ),
            audit=audited.findings,
            evaluation=evaluated.evaluation,
            clinical=clinical.figures,
            about=described.about,
            flow=described.flow,
            robustness=robustness,
            model_card=run.open_workspace().uri(described.card.path),
            operating=evaluated.operating,
            leak=evaluated.leak,
            evaluation_without_leaks=evaluated.evaluation_without_leaks,
            search=members.search,
            notes=[*members.all_notes, *([tracked.note] if tracked and tracked.note else [])],
            decision=verdict.decision,
            outcome=outcome_of(run, verdict, promoted.version).now,
            version=promoted.version,
            champion=promoted.champion,
            bundle=promoted.bundle_uri,
            report=page.uri,
            tracked=tracked.address if tracked else None,
            predictions=run.open_workspace().uri(evaluated.predictions.path),
            suspects=run.open_workspace().uri(page.suspects.path),
            suspect_images=page.suspect_images,
            seconds=seconds,
            reused=[row.stage for row in timings if row.reused],
        )
