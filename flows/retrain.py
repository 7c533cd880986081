"""Retrain: the whole main job, from images to a promoted model, in the order of the data's way."""

import time

from prefect import flow

from flows.config import DataSet, EvaluationSettings, TrainingSettings, WorkspaceLocation
from flows.dispatch import machines_of, sleep_after
from flows.fine_tune import fine_tune, read_trained
from flows.result import RetrainResult
from flows.search import read_searched, search_recipes
from tasks.audit import audit_images
from tasks.automl.chosen import ChosenRecipes
from tasks.automl.settings import SearchSettings
from tasks.catalogue import build_catalogue
from tasks.check_robustness import check_robustness
from tasks.clinical import clinical_figures
from tasks.compute.settings import ComputeSettings
from tasks.data.settings import CatalogueSettings, ImagesSource
from tasks.decide import decide_promotion
from tasks.describe import describe_bundle
from tasks.engine.flow_run import ended, run_name
from tasks.engine.run import open_run
from tasks.engine.stage import timed_stages
from tasks.evaluate import evaluate_bundle
from tasks.evaluation.settings import GateSettings
from tasks.export import export_bundle
from tasks.ingest import ingest
from tasks.label_status import tell_unlabelled
from tasks.models.version_report import report_address
from tasks.notify import notify, outcome_of
from tasks.predict import predict_unseen
from tasks.prepare import prepare_ways
from tasks.promote import promote, publish
from tasks.rejudge import rejudge_champion
from tasks.report import write_report
from tasks.track import track_run
from tasks.tracking.settings import TrackingSettings


@flow(
    name="retrain",
    flow_run_name=run_name,
    persist_result=False,
    on_failure=[sleep_after],
    on_cancellation=[sleep_after],
    on_crashed=[sleep_after],
)
def retrain(
    images: ImagesSource,
    workspace: WorkspaceLocation,
    dataset: DataSet,
    checks: CatalogueSettings = CatalogueSettings(),  # noqa: B008 - frozen
    training: TrainingSettings = TrainingSettings(),  # noqa: B008 - frozen
    evaluation: EvaluationSettings = EvaluationSettings(),  # noqa: B008 - frozen
    gate: GateSettings = GateSettings(),  # noqa: B008 - frozen
    search: SearchSettings = SearchSettings(),  # noqa: B008 - frozen
    compute: ComputeSettings = ComputeSettings(),  # noqa: B008 - frozen
    tracking: TrackingSettings = TrackingSettings(),  # noqa: B008 - frozen
    force: bool = False,
) -> RetrainResult:
    """Pull images, check them, fine-tune, evaluate honestly, report, and promote the model if it is good enough.

    Args:
        images: The images: change this reference and resubmit, nothing else to touch.
        workspace: Where everything is kept.
        dataset: What the images are about.
        checks: Checks, copies and folds.
        training: Backbone, recipe and device.
        evaluation: Threshold, and what is served.
        gate: When a model is good enough.
        search: Automated machine learning: what is tried, and for how long.
        compute: Where search and fine-tuning run, and what is woken for them.
        tracking: Whether MLflow is told, and where.
        force: Run every stage again, also where nothing changed.
    """
    started = time.perf_counter()
    run = open_run(workspace.url, workspace.block, dataset.name, force=force)
    with timed_stages() as timings:
        ingested = ingest(run, images)
        listing = ingested.listing
        tell_unlabelled(run, listing.unlabelled)
        catalogue = build_catalogue(run, listing, checks, dataset.positive_class)
        gate.checked_for(catalogue.classes)
        audit = audit_images(run, catalogue, ingested.warnings)
        with machines_of(compute) as machines:
            searched = None
            if training.searches(search):
                searched = machines.run(
                    search_recipes, read_searched, run, listing, catalogue, training, search
                )
            recipes = (
                searched.chosen if searched else ChosenRecipes.same(training.recipe(), len(catalogue.plans))
            )
            pixels = prepare_ways(run, listing, catalogue, recipes.preprocessings)
            members = machines.run(
                fine_tune, read_trained, run, catalogue, recipes, pixels, training, evaluation.served
            ).found_by(searched)
        bundle = export_bundle(run, catalogue, pixels, members)
        predictions = predict_unseen(run, listing, catalogue, bundle.manifest)
        evaluated = evaluate_bundle(run, listing, catalogue, predictions, evaluation.rule)
        clinical = clinical_figures(
            run,
            listing,
            catalogue,
            audit,
            evaluated,
            one_image_a_patient=dataset.one_image_a_patient,
            prevalence=evaluation.prevalence,
        )
        described = describe_bundle(run, listing, catalogue, audit, evaluated, clinical, dataset.about)
        evaluated = described.evaluated
        again = rejudge_champion(run, listing, catalogue)
        verdict = decide_promotion(run, listing, catalogue, audit, evaluated, gate, again)
        sample = evaluation.robustness_sample(training.preset)
        robustness = (
            check_robustness(run, listing, catalogue, bundle, predictions, evaluated, sample)
            if sample
            else None
        )
        version = publish(run, bundle, evaluated)
        report = write_report(
            run,
            listing,
            catalogue,
            audit,
            members,
            bundle,
            evaluated,
            clinical,
            described,
            robustness,
            verdict,
            version,
            dataset.finding,
        )
        promoted = promote(run, version, verdict, report.page)
        tracked = None
        if tracking.enabled:
            tracked = track_run(
                run, tracking, catalogue, members, evaluated, verdict, version, report, promoted
            )
        address = report_address(workspace.url, run.name, version.version)
        notify(run, audit, evaluated, clinical, verdict, promoted, address or report.uri)
    result = RetrainResult.of(
        run,
        ingested,
        catalogue,
        audit,
        members,
        evaluated,
        clinical,
        described,
        robustness,
        verdict,
        promoted,
        report,
        tracked,
        timings,
        total_seconds=time.perf_counter() - started,
    )
    outcome = outcome_of(run, verdict, promoted.version)
    words = f"{outcome.now} {version.version} {verdict.in_words()}. {evaluated.in_words()}"
    return ended(result, words, outcome.title)
