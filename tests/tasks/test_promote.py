"""A version is published whole, once; which one is served is what the decision says."""

import hashlib

import pytest
from support.runs.staged_run import NAME, StagedRun

from tasks.decide import Verdict
from tasks.engine.stage import timed_stages
from tasks.errors import RegistryError
from tasks.evaluation.gate import decide
from tasks.evaluation.settings import GateSettings
from tasks.models.registry import Registry
from tasks.models.version_report import read_report
from tasks.promote import promote, publish


def verdict_of(staged: StagedRun, *, promoted: bool, champion: str | None = None) -> Verdict:
    """As the bar alone decides."""
    bar = GateSettings(min_recall=0.0 if promoted else 1.0, min_specificity=0)
    decision = decide(staged.evaluated.evaluation, None, bar)
    return Verdict(decision=decision, champion=champion, is_champion=False, comparison=None, facts=())


def test_a_version_is_whole_and_published_once(staged_copy: StagedRun) -> None:
    workspace = staged_copy.run.open_workspace()
    with timed_stages() as timings:
        first = publish(staged_copy.run, staged_copy.bundle, staged_copy.evaluated)
        assert publish(staged_copy.another_run(), staged_copy.bundle, staged_copy.evaluated) == first
    assert [row.reused for row in timings] == [False, True]
    assert (first.version, Registry(workspace).versions(NAME)) == ("v1", ["v1"])
    for file in staged_copy.bundle.contents:
        name = file.path.rpartition("/")[2]
        there = hashlib.sha256(workspace.read(f"models/{NAME}/v1/{name}")).hexdigest()
        assert there == (staged_copy.evaluated.manifest.sha256 if name == "bundle.json" else file.sha256)
    assert Registry(workspace).aliases(NAME).champion is None, "published is not served"


def test_a_refused_version_is_the_challenger_and_a_promoted_one_the_champion(staged_copy: StagedRun) -> None:
    run = staged_copy.run
    registry = Registry(run.open_workspace())
    version = publish(run, staged_copy.bundle, staged_copy.evaluated)
    refused = verdict_of(staged_copy, promoted=False)
    page = run.write("report/index.html", b"the report")
    assert promote(run, version, refused, page).champion is None
    assert registry.aliases(NAME).challenger == "v1"
    done = promote(run, version, verdict_of(staged_copy, promoted=True), page)
    assert (done.version, done.champion, done.bundle_uri) == ("v1", "v1", version.uri)
    assert (
        list(registry.aliases(NAME).history[-1].reasons)
        == verdict_of(staged_copy, promoted=True).decision.reasons
    )
    assert promote(run, version, refused, page).champion == "v1", "what is served already stays"
    assert read_report(run.open_workspace(), NAME, "champion") == ("v1", b"the report")


def test_a_decision_against_another_champion_is_refused(staged_copy: StagedRun) -> None:
    version = publish(staged_copy.run, staged_copy.bundle, staged_copy.evaluated)
    page = staged_copy.run.write("report/index.html", b"the report")
    with pytest.raises(RegistryError):
        promote(staged_copy.run, version, verdict_of(staged_copy, promoted=True, champion="v7"), page)
