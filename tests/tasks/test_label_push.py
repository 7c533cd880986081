"""Tasks go out to a server that is there, else it is said. With one: `tests/labelling/test_label_studio.py`."""

import pytest
from support.runs.staged_run import StagedRun
from support.services.prefect_server import free_port

from tasks.data.settings import ImagesSource
from tasks.errors import LabelStudioUnavailable
from tasks.label_begin import begin_labelling, document_of
from tasks.label_choose import choose_tasks, read_queue
from tasks.label_push import push_tasks
from tasks.labelling.settings import LabellingSettings


def test_a_server_that_is_away_is_told_and_the_queue_waits(
    staged_copy: StagedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTBOX_LABEL_STUDIO_TOKEN", "0" * 40)
    run, listing = staged_copy.run, staged_copy.listing
    settings = LabellingSettings(url=f"http://127.0.0.1:{free_port()}", assist=False)
    labelling = begin_labelling(run, ImagesSource(url=listing.url), listing, settings, False)
    before = document_of(run).read()
    queue = choose_tasks(run, listing, labelling)
    with pytest.raises(LabelStudioUnavailable):
        push_tasks(run, listing, labelling, queue)
    assert document_of(run).read() == before
    assert len(read_queue(run)) == sum(queue.reasons.values())
