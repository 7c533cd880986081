"""Answers come in from a server that is there, else it is said. With one: `tests/labelling/test_label_studio.py`."""

import pytest
from support.runs.staged_run import StagedRun
from support.services.prefect_server import free_port

from tasks.data.settings import ImagesSource
from tasks.errors import LabellingError, LabelStudioUnavailable
from tasks.label_begin import begin_labelling, document_of
from tasks.label_pull import pull_labels
from tasks.labelling.settings import LabellingSettings


def test_without_a_start_there_is_nothing_to_pull(staged_copy: StagedRun) -> None:
    with pytest.raises(LabellingError, match="no labelling of discs was started"):
        pull_labels(staged_copy.run)


def test_a_server_that_is_away_is_told(staged_copy: StagedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTBOX_LABEL_STUDIO_TOKEN", "0" * 40)
    run, listing = staged_copy.run, staged_copy.listing
    settings = LabellingSettings(url=f"http://127.0.0.1:{free_port()}", assist=False)
    begin_labelling(run, ImagesSource(url=listing.url), listing, settings, False)
    state = document_of(run).set(project=1)
    with pytest.raises(LabelStudioUnavailable):
        pull_labels(run)
    assert document_of(run).read() == state
