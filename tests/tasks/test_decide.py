"""The decision of a run: the bar alone, or the champion too, on what neither saw."""

from support.runs.staged_run import NAME, StagedRun

from tasks.decide import Verdict, decide_promotion
from tasks.evaluate import EvaluatedBundle
from tasks.evaluation.settings import GateSettings
from tasks.models.manifest import amended, read_manifest
from tasks.models.registry import Registry
from tasks.promote import publish
from tasks.rejudge import ServedAgain

NOBODY = ServedAgain(champion=None, figures=None)
LOW = GateSettings(min_recall=0.1, min_specificity=0, above_trivial_facts=False, min_common_groups=10)


def decided(staged: StagedRun, evaluated: EvaluatedBundle, settings: GateSettings = LOW) -> Verdict:
    return decide_promotion(
        *(
            staged.another_run(),
            staged.listing,
            staged.catalogue,
            staged.audit,
            evaluated,
            settings,
            NOBODY,
        )
    )


def served(staged: StagedRun, **changes: object) -> str:
    """Publish the bundle with other facts, and let it be the champion."""
    run = staged.another_run()
    workspace = run.open_workspace()
    manifest = read_manifest(workspace.read(staged.evaluated.manifest.path), "the bundle")
    changed = run.write("bundle.json", amended(manifest, **changes).model_dump_json(indent=2).encode())
    version = publish(run, staged.bundle, staged.evaluated.model_copy(update={"manifest": changed})).version
    Registry(workspace).promote(NAME, version, ("for a test",))
    return version


def test_the_first_model_is_judged_by_the_bar_alone(staged_copy: StagedRun) -> None:
    verdict = decided(staged_copy, staged_copy.evaluated)
    assert (verdict.decision.verdict, verdict.champion, verdict.comparison) == ("promoted", None, None)
    refused = decided(staged_copy, staged_copy.evaluated, GateSettings(min_recall=1.0))
    assert refused.decision.verdict == "refused"
    assert not refused.decision.recall_reached


def test_a_champion_of_which_other_words_were_written_is_the_same_model(staged_copy: StagedRun) -> None:
    version = served(staged_copy, about={"contact": "a ward"}, temperature=staged_copy.evaluated.temperature)
    verdict = decided(staged_copy, staged_copy.evaluated)
    assert (verdict.champion, verdict.is_champion, verdict.decision.looks.models) == (version, True, 0)


def test_an_equal_champion_stays(staged_copy: StagedRun) -> None:
    version = served(staged_copy, temperature=staged_copy.evaluated.temperature * 1.5)
    verdict = decided(staged_copy, staged_copy.evaluated)
    assert (verdict.champion, verdict.decision.verdict) == (version, "refused")
    assert verdict.comparison is not None
    assert verdict.comparison.n == staged_copy.evaluated.evaluation.n
    assert verdict.comparison.auc_difference.value == 0


def test_a_model_is_not_its_own_opponent(staged_copy: StagedRun) -> None:
    version = publish(staged_copy.run, staged_copy.bundle, staged_copy.evaluated).version
    Registry(staged_copy.run.open_workspace()).promote(NAME, version, ("for a test",))
    verdict = decided(staged_copy, staged_copy.evaluated)
    assert (verdict.champion, verdict.is_champion, verdict.comparison) == (version, True, None)
    assert verdict.decision.verdict == "promoted"


def test_a_champion_of_other_classes_is_not_compared_with(staged_copy: StagedRun) -> None:
    version = served(staged_copy, classes=["absent", "present"], positive_class="present")
    verdict = decided(staged_copy, staged_copy.evaluated)
    assert (verdict.champion, verdict.comparison, verdict.decision.verdict) == (version, None, "promoted")
    assert any("absent, present" in reason for reason in verdict.decision.reasons)
