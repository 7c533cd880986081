"""Retrain: the whole main job, from images to a promoted model, in the order of the data's way."""

import time

from prefect import flow

from flows.config import DataSet, EvaluationSettings, TrainingSettings, WorkspaceLocation
from flows.dispatch import fine_tune_where_it_belongs, sleep_after
from flows.result import RetrainResult
from tasks.audit import audit
from tasks.catalogue import Catalogue, CatalogueSettings, catalogue
from tasks.chosen import ChosenRecipes
from tasks.compute import ComputeSettings
from tasks.data.training_view import plan_members
from tasks.decide import decide_promotion
from tasks.evaluate import evaluate_bundle
from tasks.evaluation.gate import GateSettings
from tasks.export import export
from tasks.fine_tune import TrainedMembers
from tasks.ingest import ImagesSource, Listing, ingest
from tasks.label_status import tell_unlabelled
from tasks.notify import notify
from tasks.prepare import ImageCache, prepare
from tasks.promote import promote, publish
from tasks.report import report
from tasks.run import Run, open_run
from tasks.search_settings import SearchSettings
from tasks.stage import timed_stages
from tasks.track import TrackingSettings, track


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
    search: SearchSettings = SearchSettings(),  # noqa: B008 - frozen
    evaluation: EvaluationSettings = EvaluationSettings(),  # noqa: B008 - frozen
    gate: GateSettings = GateSettings(),  # noqa: B008 - frozen
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
        search: Automated machine learning: what is tried, and for how long.
        evaluation: Threshold, and what is served.
        gate: When a model is good enough.
        compute: Where the fine-tuning runs, and what is woken for it.
        tracking: Whether MLflow is told, and where.
        force: Run every stage again, also where nothing changed.
    """
    started = time.perf_counter()
    run = open_run(workspace.url, workspace.block, dataset.name, force=force)
    with timed_stages() as timings:
        ingested = ingest(run, images)
        listing = ingested.listing
        tell_unlabelled(run, listing.unlabelled)
        found = catalogue(run, listing, checks, dataset.positive_class)
        audited = audit(run, found)
        n_members = len(plan_members(found.protocol, found.n_folds))
        chosen = ChosenRecipes.same(training.recipe(), n_members)
        pixels = tuple(prepare(run, listing, found, way) for way in chosen.preprocessings)
        members = fine_tune_where_it_belongs(
            run,
            found,
            chosen,
            pixels,
            training,
            evaluation.served,
            listing,
            training.searching(search),
            compute,
        )
        pixels = also_prepared(run, listing, found, pixels, members)
        bundle = export(run, found, pixels, members)
        evaluated = evaluate_bundle(run, listing, found, bundle, evaluation.recall_target)
        verdict = decide_promotion(run, listing, found, evaluated, gate)
        version = publish(run, bundle, evaluated)
        page = report(
            run, listing, found, audited, members, bundle, evaluated, verdict, version, dataset.finding
        )
        promoted = promote(run, version, verdict)
        tracked = None
        if tracking.enabled:
            tracked = track(run, tracking, found, members, evaluated, verdict, version, page, promoted)
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
        tracked,
        timings,
        total_seconds=time.perf_counter() - started,
    )


def also_prepared(
    run: Run, listing: Listing, found: Catalogue, pixels: tuple[ImageCache, ...], members: TrainedMembers
) -> tuple[ImageCache, ...]:
    """The images prepared in each way that a network wants, those included that a search has found."""
    known = {cache.preprocessing: cache for cache in pixels}
    return tuple(known.get(way) or prepare(run, listing, found, way) for way in members.preprocessings)
