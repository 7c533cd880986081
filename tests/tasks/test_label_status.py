"""The figures of a labelling, and when they call for a retraining: once for each so many new labels."""

from support.runs.staged_run import StagedRun

from tasks.catalogue import read_catalogue
from tasks.data.settings import ImagesSource
from tasks.label_begin import begin_labelling
from tasks.label_exchange import decide
from tasks.label_status import LabelStatus, finish, label_status, status_markdown, status_of
from tasks.labelling.assistance import AssistanceFigures
from tasks.labelling.settings import LabellingSettings

NOBODY = AssistanceFigures(model=None, why_none="switched off", labels={"no": 0, "yes": 0}, precision=0.95)


def told(staged: StagedRun) -> LabelStatus:
    return label_status(staged.run, NOBODY)


def test_settled_labels_are_counted_and_call_for_a_retraining_once(staged_copy: StagedRun) -> None:
    run, listing = staged_copy.run, staged_copy.listing
    settings = LabellingSettings(assist=False, retrain_after=2)
    begin_labelling(run, ImagesSource(url=listing.url), listing, settings, False)
    paths = read_catalogue(run, staged_copy.catalogue).frame["path"].tolist()
    assert not told(staged_copy).retraining_called_for
    decide(run, paths[0], label="yes", by="ann", review=False)
    assert not told(staged_copy).retraining_called_for
    decide(run, paths[1], label=None, by="ann", review=False)
    status = told(staged_copy)
    assert (status.progress.labelled, status.progress.rejected, status.retraining_called_for) == (1, 1, True)
    assert status.progress.by_class == {"no": 0, "yes": 1}
    assert not told(staged_copy).retraining_called_for, "called for already"
    assert "| labelled | 1 |" in status_markdown(status)
    assert "no suggestions: switched off" in status_markdown(status)


def test_a_finished_labelling_says_so(staged_copy: StagedRun) -> None:
    run, listing = staged_copy.run, staged_copy.listing
    begin_labelling(run, ImagesSource(url=listing.url), listing, LabellingSettings(), False)
    assert not status_of(run).finished
    finish(run)
    assert status_of(run).finished
