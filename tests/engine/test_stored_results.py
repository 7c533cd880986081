"""Results that an earlier version kept are known by their keys, so that an upgrade trains nothing again."""

import json

import pytest
from support.samples.stored_workspace import WORKSPACE

from flows.config import TrainingSettings
from tasks.audit import audit_images
from tasks.automl.chosen import ChosenRecipes, SearchResult
from tasks.automl.objective import Objective
from tasks.automl.settings import SearchSettings
from tasks.automl.space import base_of, probe_of
from tasks.catalogue import Catalogue
from tasks.data.training_view import plan_members
from tasks.engine.kept import read_result
from tasks.engine.run import Run, open_run
from tasks.engine.stage import timed_stages
from tasks.evaluate import EvaluatedBundle
from tasks.export import ExportedBundle, export_bundle
from tasks.fine_tune import TrainedMembers, train_member
from tasks.ingest import Listing
from tasks.prepare import prepare_images
from tasks.promote import publish
from tasks.search import find_recipes
from tasks.search_trainings import ProbedBase, UnitAnswers, probe_base, train_unit
from tasks.stores.layout import STAGE_RESULT
from tasks.training.recipes import PRESETS, FineTune, TrainingOptions


def kept_catalogue(run: Run) -> Catalogue:
    """What 0.1.0 found. Copies are told otherwise since: a catalogue is made again, and what it leads to."""
    workspace = run.open_workspace()
    [path] = workspace.list(STAGE_RESULT.folder(stage="catalogue"))
    kept = read_result(workspace, path)
    assert kept is not None
    return Catalogue.model_validate(kept.record)


def kept_evaluation(run: Run, bundle: ExportedBundle) -> EvaluatedBundle:
    """What 0.1.0 found of a bundle. It predicted and judged in one stage: these are done again, once."""
    workspace = run.open_workspace()
    kept = (read_result(workspace, path) for path in workspace.list(STAGE_RESULT.folder(stage="evaluate")))
    found = [EvaluatedBundle.model_validate(result.record) for result in kept if result is not None]
    [own] = [one for one in found if one.manifest.path == f"{bundle.folder}.json"]
    return own


@pytest.mark.parametrize("seed", [0, 1])
def test_every_kept_result_of_a_stored_workspace_is_reused(seed: int, stored_listing: Listing) -> None:
    """But for what is judged or told otherwise since: decisions, which ask more, audits, and reports of both."""
    run = open_run(WORKSPACE, None, "stored")
    training = TrainingSettings(preset="fast", seed=seed)
    recipe, (options, _) = training.recipe(), training.options_here()
    with timed_stages() as timings:
        catalogue = kept_catalogue(run)
        audit_images(run, catalogue)
        pixels = prepare_images(run, stored_listing, catalogue, recipe.preprocessing)
        plans = plan_members(catalogue.protocol, catalogue.n_folds)
        members = TrainedMembers(
            members=tuple(train_member(run, catalogue, pixels, recipe, plan, options) for plan in plans),
            refit=None,
        )
        bundle = export_bundle(run, catalogue, (pixels,), members)
        evaluated = kept_evaluation(run, bundle)
        published = publish(run, bundle, evaluated)
    again = {row.stage for row in timings if not row.reused}
    assert again == {"audit"}
    assert len(timings) == 7
    assert published.version == f"v{seed + 1}"


def test_a_search_that_was_kept_is_found_again(stored_listing: Listing) -> None:
    """The keys are those of 0.1.0: what was trained for a search is not trained again after an upgrade."""
    run = open_run(WORKSPACE, None, "stored")
    root, options = PRESETS["fast"], TrainingOptions(seed=0, device="cpu")
    assert isinstance(root, FineTune)
    catalogue = kept_catalogue(run)
    pixels = prepare_images(run, stored_listing, catalogue, root.preprocessing)
    unit = UnitAnswers(held_out=(0, 1), asked=(0, 1), logits=catalogue.table, epochs=2, seconds=1.0, curve=())
    probed = ProbedBase(units=(unit, unit), seconds=2.0)
    found = SearchResult(
        chosen=ChosenRecipes.same(root, 3),
        leaderboard=(),
        objective=Objective(),
        seconds=3.0,
        file=catalogue.table,
    )
    for entry, record in (
        ("search/a1ea08506bab3cc9e0087f657b44b2615a998de05a7a1556e15ebd7323d245b8", found),
        ("search-probe/c34f5a88f1d296115206ed5639f77e340a610aaabfc2cead0a8f7bf7d5f0139e", probed),
        ("search-unit/1d1a86232bbfd82a120a9d17d91d0b3b11b841d86f0fd8e788b6159c1cf9f79e", unit),
    ):
        kept = {
            "stage": entry,
            "name": run.name,
            "run": "earlier",
            "record": record.model_dump(mode="json"),
        }
        run.open_workspace().write(f"stages/{entry}.json", json.dumps(kept).encode())
    head = probe_of(base_of(root), root)
    pairs = ((0, 1), (0, 2))
    settings = SearchSettings(mode="on")
    assert find_recipes(run, stored_listing, catalogue, root, settings, options, True) == found
    assert probe_base(run, catalogue, pixels, head, pairs, pairs, options) == probed
    assert train_unit(run, catalogue, pixels, root, (0, 1), (0, 1), 2, options) == unit
