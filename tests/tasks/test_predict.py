"""What members say of images that they never saw is kept: another threshold or bar has nothing predicted anew."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.runs.staged_run import IMAGES, NAME, StagedRun

from tasks.catalogue import read_catalogue
from tasks.decide import decide_promotion
from tasks.engine.kept import StageUse, read_use
from tasks.engine.run import Run
from tasks.engine.stage import timed_stages
from tasks.errors import WorkspaceError
from tasks.evaluate import evaluate_bundle
from tasks.evaluation.settings import GateSettings, ThresholdRule
from tasks.models.bundle import Bundle
from tasks.models.registry import Registry
from tasks.predict import UnseenLogits, predict_unseen, read_unseen
from tasks.promote import publish
from tasks.rejudge import ServedAgain
from tasks.stores.layout import STAGE_USE

CLASSES = ("no", "yes")

NOBODY = ServedAgain(champion=None, figures=None)


def uses(run: Run) -> list[StageUse]:
    """What the run tells that it stands on."""
    workspace = run.open_workspace()
    found = (read_use(workspace, path) for path in workspace.list(STAGE_USE.folder(run=run.id)))
    return [use for use in found if use is not None]


def test_each_content_is_judged_by_the_member_that_never_saw_it(staged: StagedRun) -> None:
    said = read_unseen(staged.run, staged.catalogue, staged.predictions)
    table = read_catalogue(staged.run, staged.catalogue)
    folds = dict(zip(table.contents["sha256"], table.contents["fold"], strict=True))
    assert staged.predictions.contents == len(said.sha256s) == IMAGES
    assert said.unseen_by == tuple((folds[sha256],) for sha256 in said.sha256s)
    rows, (logits, *faster) = said.by_file(table)
    assert rows["path"].is_monotonic_increasing and len(rows) == len(logits) == IMAGES
    assert len(faster) == (staged.predictions.runtime is not None)


def test_another_rule_predicts_nothing_again(staged_copy: StagedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for the evaluation nor, with a champion, for the decision."""
    staged = staged_copy
    version = publish(staged.run, staged.bundle, staged.evaluated).version
    Registry(staged.run.open_workspace()).promote(NAME, version, ("for a test",))
    first, second = (ThresholdRule(alarm_capacity=capacity) for capacity in (0.4, 0.2))
    changed = evaluate_bundle(staged.run, staged.listing, staged.catalogue, staged.predictions, first)
    gate = GateSettings(min_recall=0.1, min_specificity=0, above_trivial_facts=False, min_common_groups=10)
    decided = decide_promotion(
        staged.run, staged.listing, staged.catalogue, staged.audit, changed, gate, NOBODY
    )
    assert decided.comparison is not None

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an image was predicted again")

    monkeypatch.setattr(Bundle, "predict_pixels", refuse)
    later = staged.another_run()
    with timed_stages() as timings:
        predictions = predict_unseen(later, staged.listing, staged.catalogue, staged.bundle.manifest)
        evaluated = evaluate_bundle(later, staged.listing, staged.catalogue, predictions, second)
        verdict = decide_promotion(
            later, staged.listing, staged.catalogue, staged.audit, evaluated, gate, NOBODY
        )
    assert [(row.stage, row.reused) for row in timings] == [
        ("predict", True),
        ("evaluate", False),
        ("decide", False),
    ]
    assert [use.reused for use in uses(later) if use.stage == "predict"] == [True, True]
    assert verdict.comparison is not None
    assert evaluated.threshold != staged.evaluated.threshold
    assert evaluated.evaluation.auc == staged.evaluated.evaluation.auc


def test_predictions_of_another_bundle_in_the_same_place_are_refused(staged_copy: StagedRun) -> None:
    run = staged_copy.run
    workspace, place = run.open_workspace(), staged_copy.bundle.manifest.path
    workspace.write(place, workspace.read(place).replace(b'"temperature": 1.0', b'"temperature": 2.0'))
    later = run.model_copy(update={"force": True})
    with pytest.raises(WorkspaceError, match=r"bundle\.json is damaged or was overwritten"):
        predict_unseen(later, staged_copy.listing, staged_copy.catalogue, staged_copy.bundle.manifest)


@given(st.integers(0, 5), st.integers(1, 2), st.integers(0, 2**32 - 1))
def test_what_is_kept_is_read_to_the_last_bit(contents: int, precisions: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    said = UnseenLogits(
        tuple(f"{place:064x}" for place in range(contents)),
        tuple(tuple(range(place % 3 + 1)) for place in range(contents)),
        tuple(random.normal(size=(contents, 2)).astype(np.float32) for _ in range(precisions)),
    )
    read = UnseenLogits.from_parquet(said.to_parquet(CLASSES), CLASSES)
    assert (read.sha256s, read.unseen_by) == (said.sha256s, said.unseen_by)
    assert len(read.logits) == precisions
    for ours, theirs in zip(said.logits, read.logits, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert theirs.dtype == np.float32
