"""Everything that Lightbox writes into a workspace is of a known kind, so that people see it and a pruning finds it."""

import json
import shutil
import time
from pathlib import Path

import pytest
from support.runs.main_job import LOW_BARS, FinishedRun, lightbox
from support.runs.small_search import arguments

from deployments.endpoint.log_shipping import ship
from deployments.endpoint.prediction_log import LogRow
from tasks.data.settings import ImagesSource
from tasks.engine.run import open_run
from tasks.ingest import ingest
from tasks.label_begin import begin_labelling
from tasks.label_choose import choose_tasks
from tasks.labelling.settings import LabellingSettings
from tasks.models.endpoint_log import SCHEMA
from tasks.pipeline.document import Document
from tasks.pipeline.versions import Pipelines
from tasks.search import remember
from tasks.stores.layout import KINDS, NOTICE, place_of
from tasks.stores.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NOT_HERE = {"leftovers", "other", "feature scale", "copy pairs", "pseudonym key", "erasures", "pipelines"}
"""Kinds that this run has not: writers that were killed, the scale of a set of so few images, patients, who was
forgotten, and what was drawn."""


def row() -> LogRow:
    """One line of the endpoint's log."""
    return LogRow(
        time=time.time(), request_id="r", sha256="0" * 64, deployment="champion", version="v1", mirrored=False,
        label="yes", probabilities={"no": 0.25, "yes": 0.75}, rejected=None, seconds=0.01, image=b"x",
    )  # fmt: skip


def test_a_line_of_the_log_has_what_its_schema_names() -> None:
    told = json.loads(row().line(with_image=True))
    assert {*told, "classes"} == set(SCHEMA.names)


def test_every_path_that_is_written_is_of_a_known_kind(
    finished: FinishedRun, space: Path, tmp_path: Path
) -> None:
    folder, cache = tmp_path / "ws", tmp_path / "cache"
    shutil.copytree(finished.workspace, folder)
    images = str(finished.demo.images)

    def done(*command: str) -> None:
        outcome = lightbox(*command, cache=cache)
        assert outcome.returncode == 0, outcome.stderr

    done(*arguments(finished.demo, folder, space, "retrain"), "--search", *LOW_BARS)
    where = ("--images", images, "--workspace", str(folder), "--name", "small")
    done("compare", "v1", "v2", *where, "--folds", "3")
    run = open_run(str(folder), None, "small")
    source = ImagesSource(url=images)
    listing = ingest(run, source).listing
    labelling = begin_labelling(run, source, listing, LabellingSettings(assist=False), False)
    choose_tasks(run, listing, labelling)
    image = sorted(path.relative_to(images) for path in Path(images).rglob("*.*"))[0]
    named = ("--workspace", str(folder), "--name", "small")
    done("label", "decide", "--image", str(image), "--label", "yes", "--by", "a person", *named)
    run.at("a-node").write("members/member-0.safetensors", b"")
    Pipelines(run.open_workspace()).save(Document(lightbox_pipeline=1, name="drawn"), 0)
    run.open_workspace().write(NOTICE.path(name="small", flow_run="1", event="refused"), b"{}")
    remember(run, {0: {"learning_rate": 0.001}})  # a search that chose the preset remembers nothing
    log = tmp_path / "log"
    log.mkdir()
    (log / "2027-01-31T23-0-1.jsonl").write_bytes(row().line(with_image=True))
    ship(Workspace(str(folder)), "small", log)

    found = {path: place_of(path).kind for path in run.open_workspace().list()}
    assert [path for path, kind in found.items() if kind == "other"] == []
    assert set(found.values()) >= set(KINDS) - NOT_HERE
    shown = lightbox("workspace", "show", "--workspace", str(folder), "--json", "-", cache=cache)
    assert {row["kind"] for row in json.loads(shown.stdout)} == set(found.values())
