"""What is said of a decision is what is: every kind of model against every bar, whoever is served.

A row names the model that is judged, the bar and what was served before; message, summary, report, event and the state
of the registry are compared with what follows from them.
"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from support.runs.staged_run import NAME, StagedRun

from tasks import decide as deciding
from tasks.decide import decide_promotion
from tasks.evaluation.comparison import Comparison, compare
from tasks.evaluation.settings import GateSettings
from tasks.models.manifest import amended, read_manifest
from tasks.models.registry import Registry
from tasks.notify import events_of, outcome_of
from tasks.pages.headline import _outcome
from tasks.pages.run_summary import summary_markdown
from tasks.promote import Published, promote, publish
from tasks.rejudge import ServedAgain
from tasks.report import _serving

LOW = GateSettings(min_recall=0.1, min_specificity=0, above_trivial_facts=False, min_common_groups=10)
BARS = {
    "reached": LOW,
    "changed": LOW.model_copy(update={"min_recall": 0.2}),
    "missed": LOW.model_copy(update={"min_recall": 1.0}),
    "too few": LOW.model_copy(update={"min_recall": 0.9}),
}
MODELS = {
    "first": ["none"],
    "same": ["none", "this", "other"],
    "new": ["other"],
    "worse": ["other"],
    "incomparable": ["other"],
}
TABLE = [
    (model, bar, champion) for model, champions in MODELS.items() for champion in champions for bar in BARS
]


def published(staged: StagedRun, **changes: object) -> Published:
    """The model of the run as a version, with other facts where asked."""
    run = staged.another_run()
    evaluated = staged.evaluated
    if changes:
        manifest = read_manifest(run.read(evaluated.manifest), "the bundle")
        other = amended(manifest, **changes).model_dump_json(indent=2).encode()
        evaluated = evaluated.model_copy(update={"manifest": run.write("bundle.json", other)})
    return publish(run, staged.bundle, evaluated)


def comparison(*, better: bool) -> Comparison:
    """Of a challenger that is clearly better, or clearly worse."""
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 2
    sides: list[tuple[np.ndarray, np.ndarray]] = []
    for skill in (0.5, 2.0) if better else (2.0, 0.5):
        yes = 1 / (1 + np.exp(-rng.normal(skill * (2 * labels - 1))))
        sides.append((np.stack([1 - yes, yes], axis=1), (yes >= 0.5).astype(int)))
    before, after = sides
    return compare(
        labels,
        before,
        after,
        np.arange(300),
        classes=["no", "yes"],
        positive_class="yes",
        champion_version="v1",
        resamples=300,
    )


@pytest.mark.parametrize(("model", "bar", "champion"), TABLE, ids=[" | ".join(row) for row in TABLE])
def test_every_text_says_what_is(
    staged_copy: StagedRun, model: str, bar: str, champion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(staged_copy.run.open_workspace())
    before = None
    if champion == "other":
        classes = {"classes": ["absent", "present"], "positive_class": "present"}
        changes = classes if model == "incomparable" else {"temperature": 7.0}
        before = published(staged_copy, **changes).version
    if model == "same":
        own = published(staged_copy).version
        before = own if champion == "this" else before
    if before is not None:
        registry.promote(NAME, before, ("for a test",))
    monkeypatch.setattr(deciding, "_compared", lambda *_, **__: comparison(better=model == "new"))

    run, nobody = staged_copy.another_run(), ServedAgain(champion=before, figures=None)
    verdict = decide_promotion(
        *(run, staged_copy.listing, staged_copy.catalogue, staged_copy.audit, staged_copy.evaluated),
        *(BARS[bar], nobody),
    )
    version = published(staged_copy)
    promotion = promote(run, version, verdict, run.write("report.html", b"a report"))

    beaten = champion != "other" or model in ("new", "incomparable")
    passes = bar in ("reached", "changed") and beaten
    wanted = "promoted" if passes else "too few" if bar == "too few" else "refused"
    assert verdict.decision.verdict == wanted
    assert (verdict.champion, verdict.is_champion) == (before, champion == "this")
    after = version.version if passes or champion == "this" else before
    assert registry.aliases(NAME).champion == promotion.champion == after
    if not passes and champion != "this":
        assert registry.aliases(NAME).challenger == version.version

    outcome = outcome_of(run, verdict, version.version)
    assert outcome.served == after
    claims = {
        "is served from now on": passes and champion != "this",
        "no model was served before": passes and champion == "none",
        "No model is served": not passes and champion == "none",
        "stays in service": not passes and champion == "other",
        "the model of this run, is in service": champion == "this",
    }
    assert {words: words in outcome.now for words in claims} == claims

    events = events_of(run, staged_copy.evaluated, verdict, promotion, "report.html")
    told = [event.event.rpartition(".")[2] for event in events]
    missed = bar == "missed"
    assert told == {"promoted": ["promoted"], "too few": ["too-few"], "refused": ["refused"]}[wanted] or (
        missed and told == ["recall-low", "refused"]
    )
    assert [event.headline for event in events] == [True] + [False] * (len(events) - 1)
    for event in events:
        assert f"Now: {outcome.now}" in event.text and "What to do: " in event.text
        assert event.champion == after
        new = "the new model" in event.subject
        assert new == (champion != "this"), event.subject
        assert ("which is served" in event.subject) == (champion == "this")
    summary = summary_markdown(outcome, staged_copy.evaluated.evaluation, (), "report.html")
    assert outcome.now in summary and summary.startswith(f"# {NAME}: {outcome.title.lower()}\n")
    serving = _serving(staged_copy.catalogue, staged_copy.bundle, staged_copy.evaluated, verdict, version)
    content = SimpleNamespace(serving=serving, decision=verdict.decision, dataset=SimpleNamespace(name=NAME))
    assert _outcome(content) == replace(outcome, again=None)  # type: ignore[arg-type]
