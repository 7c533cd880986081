"""What people are told of a run: its outcome, once, with low recall before it where the bar is not reached."""

from support.runs.staged_run import NAME, StagedRun

from tasks.clinical import clinical_figures
from tasks.decide import Verdict
from tasks.evaluation.gate import decide
from tasks.evaluation.settings import GateSettings
from tasks.notify import ModelEvent, notify
from tasks.promote import Promotion


def told(staged: StagedRun, min_recall: float) -> tuple[ModelEvent, ...]:
    decision = decide(
        staged.evaluated.evaluation, None, GateSettings(min_recall=min_recall, min_specificity=0)
    )
    champion = "v2" if decision.verdict == "promoted" else "v1"
    promotion = Promotion(version="v2", champion=champion, bundle_uri="models/discs/v2")
    verdict = Verdict(decision=decision, champion="v1", is_champion=False, comparison=None, facts=())
    clinical = clinical_figures(
        staged.run,
        staged.listing,
        staged.catalogue,
        staged.audit,
        staged.evaluated,
        one_image_a_patient=False,
        prevalence=None,
    )
    return notify(
        *(staged.run, staged.audit, staged.evaluated, clinical, verdict, promotion, "report.html")
    ).events


def test_a_promotion_is_one_event(staged_copy: StagedRun) -> None:
    [event] = told(staged_copy, 0.1)
    assert (event.event, event.headline, event.name) == ("lightbox.model.promoted", True, NAME)
    assert (event.version, event.champion, event.report) == ("v2", "v2", "report.html")
    recall = staged_copy.evaluated.evaluation.recall
    assert (event.recall, event.recall_lower, event.recall_upper) == (
        recall.value,
        recall.lower,
        recall.upper,
    )
    assert "Version v2, the model of this run, is served from now on instead of version v1" in event.text


def test_low_recall_is_told_before_the_refusal_and_only_one_of_them_is_a_message(
    staged_copy: StagedRun,
) -> None:
    low, refused = told(staged_copy, 1.0)
    assert (low.event, refused.event) == ("lightbox.model.recall-low", "lightbox.model.refused")
    assert (low.headline, refused.headline) == (True, False)
    assert "Version v1 stays in service: version v2 was refused" in low.text
    assert low.reasons == refused.reasons


def test_without_a_server_nothing_is_written_down_as_told(staged_copy: StagedRun) -> None:
    told(staged_copy, 0.1)
    assert not staged_copy.run.open_workspace().list("notices")
