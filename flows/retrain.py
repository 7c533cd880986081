"""Retrain: the whole main job, from images to a promoted model, in the order of the data's way."""

import time

from prefect import flow

from flows.config import DataSet, EvaluationSettings, TrainingSettings, WorkspaceLocation
from flows.dispatch import fine_tune_where_it_belongs, sleep_after
from flows.result import RetrainResult
from tasks.audit import audit
from tasks.catalogue import CatalogueSettings, catalogue
from tasks.compute import ComputeSettings
from tasks.decide import decide_promotion
from tasks.evaluate import evaluate_bundle
from tasks.evaluation.gate import GateSettings
from tasks.export import export
from tasks.ingest import ImagesSource, ingest
from tasks.notify import notify
from tasks.prepare import prepare
from tasks.promote import promote, publish
from tasks.report import report
from tasks.run import open_run
from tasks.stage import timed_stages


@flow(
    name="retrain",
    flow_run_name="retrain-{dataset.name}",
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
    compute: ComputeSettings = ComputeSettings(),  # noqa: B008 - frozen
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
        compute: Where the fine-tuning runs, and what is woken for it.
        force: Run every stage again, also where nothing changed.
    """
    started = time.perf_counter()
    run = open_run(workspace.url, workspace.block, dataset.name, force=force)
    recipe = training.recipe()
    with timed_stages() as timings:
        ingested = ingest(run, images)
        listing = ingested.listing
        found = catalogue(run, listing, checks, dataset.positive_class)
        audited = audit(run, found)
        pixels = prepare(run, listing, found, recipe.preprocessing)
        members = fine_tune_where_it_belongs(run, found, pixels, recipe, training, evaluation.served, compute)
        bundle = export(run, found, pixels, members, evaluation.served)
        evaluated = evaluate_bundle(run, listing, found, bundle, evaluation.recall_target)
        verdict = decide_promotion(run, listing, found, evaluated, gate)
        version = publish(run, bundle, evaluated)
        page = report(
            run, listing, found, audited, members, bundle, evaluated, verdict, version, dataset.finding
        )
        promoted = promote(run, version, verdict)
        notify(run, audited, evaluated, verdict, promoted, page.uri)
    return RetrainResult.of(
        run,
        ingested,
        found,
        audited,
        members,
        evaluated,
        verdict,
        promoted,
        page,
        timings,
        total_seconds=time.perf_counter() - started,
    )
