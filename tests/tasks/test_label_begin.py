"""How a labelling begins: its classes are fixed, and what is finished is taken up only when somebody says so."""

import pytest
from support.runs.staged_run import StagedRun

from tasks.data.settings import ImagesSource
from tasks.errors import LabellingError, LabelStudioUnavailable
from tasks.label_begin import Labelling, begin_labelling, document_of, studio_of
from tasks.labelling.settings import LabellingSettings


def begun(staged: StagedRun, *classes: str, restart: bool = False) -> Labelling:
    settings = LabellingSettings(classes=classes)
    return begin_labelling(
        staged.run, ImagesSource(url=staged.listing.url), staged.listing, settings, restart
    )


def test_classes_are_those_named_or_else_those_that_the_data_have(staged_copy: StagedRun) -> None:
    assert begun(staged_copy).settings.classes == ("no", "yes")
    assert begun(staged_copy, "absent", "present").settings.classes == ("absent", "present")
    assert begun(staged_copy).settings.classes == ("absent", "present", "no", "yes")
    assert document_of(staged_copy.run).read().images["url"] == staged_copy.listing.url


def test_a_single_class_is_refused(staged_copy: StagedRun) -> None:
    with pytest.raises(LabellingError, match="cannot be asked for"):
        begun(staged_copy, "only")
    assert not document_of(staged_copy.run).exists()


def test_a_finished_labelling_is_taken_up_by_a_restart_alone(staged_copy: StagedRun) -> None:
    begun(staged_copy)
    document_of(staged_copy.run).set(finished=True)
    with pytest.raises(LabellingError, match="is finished"):
        begun(staged_copy)
    begun(staged_copy, restart=True)
    assert not document_of(staged_copy.run).read().finished


def test_without_a_token_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIGHTBOX_LABEL_STUDIO_TOKEN", raising=False)
    with pytest.raises(LabelStudioUnavailable, match="token"):
        studio_of(LabellingSettings())
