"""Results that an earlier version kept are known by their keys, so that an upgrade trains nothing again."""

import pytest
from support.samples.stored_workspace import WORKSPACE

from flows.config import TrainingSettings
from tasks.audit import audit_images
from tasks.catalogue import build_catalogue
from tasks.data.settings import CatalogueSettings
from tasks.data.training_view import plan_members
from tasks.decide import decide_promotion
from tasks.engine.run import open_run
from tasks.engine.stage import timed_stages
from tasks.evaluate import evaluate_bundle
from tasks.evaluation.settings import GateSettings
from tasks.export import export_bundle
from tasks.fine_tune import TrainedMembers, train_member
from tasks.ingest import Listing
from tasks.prepare import prepare_images
from tasks.promote import publish
from tasks.report import write_report


@pytest.mark.parametrize("seed", [0, 1])
def test_every_kept_result_of_a_stored_workspace_is_reused(seed: int, stored_listing: Listing) -> None:
    run = open_run(WORKSPACE, None, "stored")
    training = TrainingSettings(preset="fast", seed=seed)
    recipe, (options, _) = training.recipe(), training.options_here()
    with timed_stages() as timings:
        catalogue = build_catalogue(run, stored_listing, CatalogueSettings(n_folds=3), "yes")
        audit = audit_images(run, catalogue)
        pixels = prepare_images(run, stored_listing, catalogue, recipe.preprocessing)
        plans = plan_members(catalogue.protocol, catalogue.n_folds)
        members = TrainedMembers(
            members=tuple(train_member(run, catalogue, pixels, recipe, plan, options) for plan in plans),
            refit=None,
        )
        bundle = export_bundle(run, catalogue, (pixels,), members)
        evaluated = evaluate_bundle(run, stored_listing, catalogue, bundle, 0.95)
        verdict = decide_promotion(run, stored_listing, catalogue, evaluated, GateSettings(min_recall=0.2))
        published = publish(run, bundle, evaluated)
        write_report(
            *(run, stored_listing, catalogue, audit, members, bundle, evaluated, verdict, published, None)
        )
    assert {row.stage: row.reused for row in timings} == dict.fromkeys((row.stage for row in timings), True)
    assert len(timings) == 11
    assert published.version == f"v{seed + 1}"
