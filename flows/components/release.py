"""What comes of a model: a version, its promotion, a report, messages, MLflow, scores, questions to people."""

from flows.components.place import Place
from flows.components.settings import ScoreStore
from flows.components.values import (
    Decision,
    Evaluation,
    Images,
    Labels,
    Promotion,
    Report,
    Scores,
    Version,
)
from tasks.errors import RegistryError
from tasks.label_begin import begin_labelling
from tasks.label_choose import choose_tasks
from tasks.label_pull import pull_labels
from tasks.label_push import push_tasks
from tasks.label_status import label_status
from tasks.labelling.settings import LabellingSettings
from tasks.models.version_report import report_address
from tasks.notify import notify as tell
from tasks.promote import Published, publish
from tasks.promote import promote as promote_version
from tasks.report import write_report
from tasks.score import score_images
from tasks.track import track_run
from tasks.tracking.settings import TrackingSettings


def register(place: Place, settings: object, *, evaluation: Evaluation) -> Version:  # noqa: ARG001
    """Put the bundle into the registry."""
    model = evaluation.predictions.model
    run = model.members.folds.images.run
    published = publish(place.at(run), model.record, evaluation.record)
    return Version(run, published.uri, published.version, evaluation, published)


def promote(
    place: Place,
    settings: object,  # noqa: ARG001 - as all components
    *,
    version: Version,
    decision: Decision,
    report: Report,
) -> Promotion:
    """Serve the version if the decision says so."""
    run, page = place.at(version.run), report.record.page
    record = promote_version(run, _published(version), decision.record, page)
    return Promotion(version, decision, record)


def report(
    place: Place,
    settings: object,  # noqa: ARG001 - as all components
    *,
    evaluation: Evaluation,
    decision: Decision,
    version: Version,
) -> Report:
    """Write the page."""
    model = evaluation.predictions.model
    folds = model.members.folds
    written = write_report(
        place.at(folds.images.run),
        folds.images.listing,
        folds.record,
        evaluation.findings.record,
        model.members.record,
        model.record,
        evaluation.record,
        evaluation.clinical,
        evaluation.described,
        evaluation.robustness,
        decision.record,
        _published(version),
        folds.images.about.finding,
    )
    return Report(evaluation, decision, version, written)


def notify(place: Place, settings: object, *, promotion: Promotion, report: Report) -> None:  # noqa: ARG001
    """Tell people."""
    run, evaluation = promotion.version.run, report.evaluation
    address = report_address(run.workspace, run.name, promotion.version.number)
    tell(
        place.at(run),
        evaluation.findings.record,
        evaluation.record,
        evaluation.clinical,
        promotion.decision.record,
        promotion.record,
        address or report.record.uri,
    )


def track(place: Place, settings: TrackingSettings, *, promotion: Promotion, report: Report) -> None:
    """Show the version in MLflow."""
    members = report.evaluation.predictions.model.members
    track_run(
        place.at(promotion.version.run),
        settings,
        members.folds.record,
        members.record,
        report.evaluation.record,
        promotion.decision.record,
        _published(promotion.version),
        report.record,
        promotion.record,
    )


def score_store(place: Place, settings: ScoreStore, *, version: Version) -> Scores:
    """Score every image of a store."""
    out = version.run.model_copy(
        update={"workspace": settings.out.url, "workspace_block": settings.out.block}
    )
    block = version.run.workspace_block
    return Scores(score_images(place.at(out), settings.images, version.uri, block))


def ask_people(place: Place, settings: LabellingSettings, *, images: Images) -> Labels:
    """Bring in what people answered, and hand out what they should look at next."""
    run = place.at(images.run)
    begun = begin_labelling(run, images.source, images.listing, settings, False)
    pull_labels(run, False)
    chosen = choose_tasks(run, images.listing, begun)
    push_tasks(run, images.listing, begun, chosen)
    return Labels(label_status(run, chosen.assistance))


def _published(version: Version) -> Published:
    """Raises: RegistryError of a version that this run did not make."""
    if version.record is None:
        raise RegistryError(
            f"{version.number} was not made by this run", cure="wire it to the version that Register gives"
        )
    return version.record
