"""The champion as it is served is judged again on what came since, and people are told when it finds too few."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from support.runs.staged_run import CHECKS, IMAGES, NAME, StagedRun, write_pictures

from tasks.catalogue import build_catalogue, read_catalogue
from tasks.data.settings import ImagesSource
from tasks.decide import Verdict
from tasks.evaluation.gate import decide
from tasks.evaluation.served import ServedFigures, served_figures
from tasks.evaluation.settings import GateSettings
from tasks.ingest import ingest
from tasks.models.bundle import Prediction, load_bundle
from tasks.models.registry import Registry
from tasks.notify import events_of, outcome_of
from tasks.promote import Promotion, publish
from tasks.rejudge import ServedAgain, rejudge_champion

NEW = 12


def figures(found: int, positives: int, alarms: int = 10, negatives: int = 98) -> ServedFigures:
    """Of a served model that finds so many."""
    labels = np.repeat([1, 0], [positives, negatives])
    called = np.r_[np.arange(positives) < found, np.arange(negatives) < alarms].astype(np.int64)
    yes = np.where(called == 1, 0.8, 0.2)
    return served_figures(
        labels,
        np.stack([1 - yes, yes], axis=1),
        called,
        np.arange(labels.size),
        classes=["no", "yes"],
        positive_class="yes",
        version="v1",
        made=datetime(2026, 1, 1, tzinfo=UTC),
    )


@pytest.fixture
def grown(staged_copy: StagedRun, tmp_path: Path) -> StagedRun:
    """The champion is served, and images have come since."""
    version = publish(staged_copy.run, staged_copy.bundle, staged_copy.evaluated).version
    Registry(staged_copy.run.open_workspace()).promote(NAME, version, ("for a test",))
    run = staged_copy.another_run()
    listing = ingest(run, ImagesSource(url=str(write_pictures(tmp_path / "grown", IMAGES + NEW)))).listing
    return replace(
        staged_copy, run=run, listing=listing, catalogue=build_catalogue(run, listing, CHECKS, "yes")
    )


def test_it_answers_as_in_service_on_what_it_had_no_part_in(grown: StagedRun, tmp_path: Path) -> None:
    again = rejudge_champion(grown.run, grown.listing, grown.catalogue)
    assert again.champion == "v1" and again.figures is not None
    found = again.figures
    assert (found.version, found.n, found.n_positive) == ("v1", NEW, NEW // 2)
    bundle = load_bundle(Registry(grown.run.open_workspace()).uri(NAME, "v1"))
    rows = read_catalogue(grown.run, grown.catalogue).frame
    new = [path for path in rows["path"] if int(Path(path).stem) >= IMAGES]
    said = bundle.predict_bytes([(tmp_path / "grown" / path).read_bytes() for path in new])
    answers = [one for path, one in zip(new, said, strict=True) if path.startswith("yes")]
    hits = [isinstance(one, Prediction) and one.label == "yes" for one in answers]
    assert found.recall.value == pytest.approx(np.mean(hits))


def test_without_a_champion_or_new_images_there_is_nothing_to_say(staged_copy: StagedRun) -> None:
    nobody = rejudge_champion(staged_copy.run, staged_copy.listing, staged_copy.catalogue)
    assert nobody == ServedAgain(champion=None, figures=None)
    version = publish(staged_copy.run, staged_copy.bundle, staged_copy.evaluated).version
    Registry(staged_copy.run.open_workspace()).promote(NAME, version, ("for a test",))
    same = rejudge_champion(staged_copy.another_run(), staged_copy.listing, staged_copy.catalogue)
    assert same == ServedAgain(champion="v1", figures=None)


@pytest.mark.parametrize(
    ("found", "positives", "below"),
    [(38, 40, False), (33, 40, True), (5, 8, False), (2, 8, True), (0, 0, False)],
    ids=["enough", "below", "below but few", "few and surely below", "none"],
)
def test_low_recall_in_service_is_told_where_it_is_known(found: int, positives: int, below: bool) -> None:
    assert figures(found, positives).recall_is_below(0.85) == below


def told(staged: StagedRun, again: ServedFigures, *, promoted: bool) -> tuple[list[str], str]:
    bar = GateSettings(min_recall=0.0 if promoted else 1.0, min_specificity=0, above_trivial_facts=False)
    decision = decide(staged.evaluated.evaluation, None, bar, served=again)
    settings = GateSettings(min_recall=0.85)
    decision = decision.model_copy(update={"settings": settings})
    verdict = Verdict(
        decision=decision, champion="v1", is_champion=False, comparison=None, facts=(), served=again
    )
    promotion = Promotion(version="v2", champion="v2" if promoted else "v1", bundle_uri="models/discs/v2")
    assert outcome_of(staged.run, verdict, "v2").again == again
    events = events_of(staged.run, staged.evaluated, verdict, promotion, "report.html")
    assert [event.headline for event in events] == [True] + [False] * (len(events) - 1)
    assert any("as it is served, on" in reason for reason in events[-1].reasons)
    return [f"{event.event.rpartition('.')[2]} of {event.version}" for event in events], events[0].text


def test_a_decaying_champion_that_stays_is_the_alarm(staged: StagedRun) -> None:
    events, text = told(staged, figures(28, 40), promoted=False)
    assert events[0] == "recall-low of v1" and events[-1] == "refused of v2"
    assert text.startswith("Recall of v1, which is served, is below the bar on 138 images that came since")
    assert "Recall: 0.700 (95 % interval" in text and "What to do:" in text and "in service" in text


def test_one_that_is_replaced_or_does_well_raises_none(staged: StagedRun) -> None:
    assert told(staged, figures(28, 40), promoted=True)[0] == ["promoted of v2"]
    assert "recall-low of v1" not in told(staged, figures(39, 40), promoted=False)[0]
