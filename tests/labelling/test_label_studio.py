"""Labelling with a real Label Studio: two people, suggestions, disputes, and all that can go wrong on the way."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from support.repository import REPOSITORY, TESTS
from support.runs.main_job import Done, lightbox
from support.runs.small_search import COMMAND
from support.services.browser import chromium
from support.services.label_studio import OTHER, OWNER, PASSWORD, HiddenLabels, LabelStudioServer

from deployments.deploy import deploy
from tasks.labelling.decision import Decision, DecisionStore
from tasks.stores.workspace import Workspace

pytestmark = [pytest.mark.service, pytest.mark.slow]
FLIPPED = {"no": "yes", "yes": "no"}


class Desk:
    """One data set's labelling, by the command."""

    def __init__(self, server: LabelStudioServer, folder: Path, name: str) -> None:
        self._server, self._folder, self.name = server, folder, name
        self.workspace = folder / "ws"

    def run(self, *arguments: str | Path, **environment: str) -> Done:
        """The command's end, whatever it is."""
        settings = {**self._server.environment, **environment}
        place = ("--workspace", self.workspace, "--name", self.name)
        return lightbox(*arguments, *place, cache=self._folder / "cache", environment=settings)

    def did(self, *arguments: str | Path) -> Done:
        """The end of a command that must succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done

    def start(self, images: Path, *more: str, precision: float = 0.8) -> dict[str, Any]:
        """Begin; the status."""
        options = ("--classes", "no", "yes", "--precision", str(precision), *more, "--json", "-")
        return dict(json.loads(self.did("label", "start", "--images", images, *options).stdout))

    def sync(self) -> dict[str, Any]:
        """Sync; the status."""
        return dict(json.loads(self.did("label", "sync", "--json", "-").stdout))

    def status(self) -> dict[str, Any]:
        """The status."""
        return dict(json.loads(self.did("label", "status", "--json", "-").stdout))

    @property
    def decisions(self) -> list[Decision]:
        """All that was decided."""
        return DecisionStore(Workspace(str(self.workspace)), self.name).read()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One workspace and one cache for all, so that each image is embedded once."""
    return tmp_path_factory.mktemp("labelling")


@pytest.fixture(scope="module")
def few(hide: Callable[[int], HiddenLabels]) -> HiddenLabels:
    """A few images for what needs no model."""
    return hide(8)


def number(status: dict[str, Any], which: str = "project_url") -> int:
    return int(status[which].split("/")[-2])


def test_two_people_label_and_review_and_the_catalogue_has_what_they_said(
    label_studio: LabelStudioServer, hide: Callable[[int], HiddenLabels], folder: Path, tmp_path: Path
) -> None:
    images, desk = hide(60), Desk(label_studio, folder, "brain")
    owner, other = label_studio.owner, label_studio.other
    begun = desk.start(images.folder)
    assert begun["progress"]["to_go"] == 60 and begun["assistance"]["model"] is None
    project = number(begun)
    tasks = owner.tasks(project)
    said = {task["data"]["sha256"]: images.truth[task["data"]["sha256"]] for task in tasks}
    assert len(tasks) == len(said) == 60 and not any(task["predictions"] for task in tasks)
    for task in tasks[:30]:
        owner.answer(task["id"], said[task["data"]["sha256"]])
    for place, task in enumerate(tasks[:8]):  # of the other's eight answers three contradict
        label = said[task["data"]["sha256"]]
        other.answer(task["id"], FLIPPED[label] if place < 3 else label)
    owner.answer(tasks[30]["id"], None)
    owner.answer(tasks[31]["id"], "__rejected__")
    said[tasks[31]["data"]["sha256"]] = "rejected"

    first = desk.sync()
    progress = first["progress"]
    assert (progress["labelled"], progress["rejected"], progress["to_review"]) == (27, 1, 3)
    assert (progress["to_go"], progress["skipped"]) == (29, 1)
    agreement = progress["agreement"]
    assert (agreement["kind"], agreement["images"], agreement["agreed"]) == ("cohen", 8, 5)
    model = first["assistance"]["model"]
    assert model is not None and progress["suggested"] > 0
    shown = [task for task in owner.tasks(project) if task["predictions"]]
    assert len(shown) == progress["suggested"]
    for task in shown:
        (prediction,) = task["predictions"]
        assert prediction["model_version"] == model and not task["total_annotations"]
        assert first["assistance"]["threshold"] <= prediction["score"] + 1e-6 <= 1.000001

    review = number(first, "review_url")
    disputes = owner.tasks(review)
    assert {task["data"]["sha256"] for task in disputes} == {task["data"]["sha256"] for task in tasks[:3]}
    for task in disputes:
        owner.answer(task["id"], said[task["data"]["sha256"]])
    for task in owner.tasks(project):
        if not task["annotations"] or task["id"] == tasks[30]["id"]:
            other.answer(task["id"], said[task["data"]["sha256"]])
    last = desk.sync()
    assert (
        last["progress"]["labelled"] == 59 and last["progress"]["to_go"] == last["progress"]["to_review"] == 0
    )
    assert last["assistance"]["model"] != model
    assert last["progress"]["suggestions"]["judged"] == progress["suggested"]
    people = {person["name"]: person for person in last["progress"]["people"]}
    assert people[OWNER]["reviewed"] == 3 and people[OTHER]["overruled"] == 3
    assert last["retraining_called_for"]

    retrained_on_what_people_said(desk, images.folder, said, tmp_path)


def retrained_on_what_people_said(desk: Desk, images: Path, said: dict[str, str], folder: Path) -> None:
    """The catalogue's labels, and those that the model was judged by, are the people's."""
    rejected = next(sha256 for sha256, label in said.items() if label == "rejected")
    assert retrain(desk, images, folder)["evaluation"]["n"] == 59
    (catalogue,) = desk.workspace.glob("datasets/brain/*/catalogue.parquet")
    frame = pd.read_parquet(catalogue)
    labels = dict(zip(frame["sha256"], frame["label"], strict=True))
    assert labels == {sha256: label for sha256, label in said.items() if sha256 != rejected}
    rejects = pd.read_parquet(catalogue.with_name("rejects.parquet"))
    assert rejects["detail"].tolist() == [f"rejected by {OWNER}"]
    judged = pd.concat(map(pd.read_parquet, desk.workspace.glob("runs/*/predictions.parquet")))
    truth = dict(zip(judged["sha256"], judged["label"], strict=True))
    assert truth == labels


def retrain(desk: Desk, images: Path, folder: Path) -> dict[str, Any]:
    """What `lightbox retrain` says, run as a user does, in a process of its own."""
    out = folder / "retrained.json"
    place = ("--workspace", desk.workspace, "--name", desk.name, "--json", out)
    what = ("--positive-class", "yes", "--preset", "fast", "--folds", "3", "--min-recall", "0.01", "--quiet")
    done = subprocess.run(
        [COMMAND, "retrain", "--images", images, *place, *what],
        env={**os.environ, "LIGHTBOX_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(out.read_text()))


def test_a_second_sync_and_one_killed_anywhere_leave_the_same(
    label_studio: LabelStudioServer, hide: Callable[[int], HiddenLabels], folder: Path
) -> None:
    images = hide(44)
    ends = {}
    for name in ("calm", "killed"):
        desk = Desk(label_studio, folder, name)
        begun = desk.start(images.folder, "--queue-images", "38", "--max-labellers", "2", precision=0.6)
        project = number(begun)
        for place, task in enumerate(label_studio.owner.tasks(project)[:32]):
            label = images.truth[task["data"]["sha256"]]
            label_studio.owner.answer(task["id"], label)
            if place < 2:
                label_studio.other.answer(task["id"], FLIPPED[label])
        if name == "killed":
            script = TESTS / "support" / "runs" / "killed_syncs.py"
            environment = {**label_studio.environment, "LIGHTBOX_CACHE": str(folder / "cache")}
            deaths = subprocess.run(
                [sys.executable, script, desk.workspace, name],
                env={**os.environ, **environment, "PYTHONPATH": str(REPOSITORY)},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            assert json.loads(deaths) == ["killed"] * 5
        first, again = desk.sync(), desk.sync()
        assert first == {**again, "retraining_called_for": first["retraining_called_for"]}
        review = number(first, "review_url")
        assert first["progress"]["suggested"] > 0
        ends[name] = {
            "tasks": sorted(_facts(task) for task in label_studio.owner.tasks(project)),
            "review": sorted(_facts(task) for task in label_studio.owner.tasks(review)),
            "decisions": sorted((one.sha256, one.by, one.source, str(one.label)) for one in desk.decisions),
            "progress": first["progress"],
        }
    assert ends["calm"] == ends["killed"]
    tasks = ends["calm"]["tasks"]
    assert len({sha256 for sha256, _ in tasks}) == len(tasks) == 44 and len(ends["calm"]["review"]) == 2


def _facts(task: dict[str, Any]) -> tuple[str, list[tuple[str, float]]]:
    shown = [(one["result"][0]["value"]["choices"][0], one["score"]) for one in task["predictions"]]
    return task["data"]["sha256"], shown


def test_pages_changed_by_hand_are_told_and_put_back_and_nothing_is_lost(
    label_studio: LabelStudioServer, few: HiddenLabels, folder: Path
) -> None:
    desk, owner = Desk(label_studio, folder, "changed"), label_studio.owner
    project = number(desk.start(few.folder, "--no-assist"))
    page = owner.ask("GET", f"/api/projects/{project}/")["label_config"]
    renamed = page.replace('"yes"', '"tumour"')
    owner.ask("PATCH", f"/api/projects/{project}/", json={"label_config": renamed})
    first, second, *_ = owner.tasks(project)
    owner.answer(first["id"], "no")
    owner.answer(second["id"], "tumour")
    failed = desk.run("label", "sync")
    assert failed.returncode == 2
    assert "1 answers name a class that changed does not have: 'tumour' (1)" in failed.stderr
    assert [(one.sha256, one.label) for one in desk.decisions] == [(first["data"]["sha256"], "no")]
    wrong = owner.tasks(project)[1]["annotations"][0]["id"]
    owner.ask("DELETE", f"/api/annotations/{wrong}/")
    failed = desk.run("label", "sync")
    assert "class 'tumour' is new; class 'yes' is gone" in failed.stderr and failed.returncode == 2
    assert desk.start(few.folder, "--no-assist")["progress"]["labelled"] == 1
    assert owner.ask("GET", f"/api/projects/{project}/")["label_config"] == page


def test_labels_outlive_images_and_projects(
    label_studio: LabelStudioServer, few: HiddenLabels, folder: Path, tmp_path: Path
) -> None:
    images = shutil.copytree(few.folder, tmp_path / "images")
    desk, owner = Desk(label_studio, folder, "gone"), label_studio.owner
    project = number(desk.start(images, "--no-assist"))
    first, second, *_ = owner.tasks(project)
    for task in (first, second):
        owner.answer(task["id"], few.truth[task["data"]["sha256"]])
    (images / first["meta"]["path"]).unlink()
    unanswered = next(iter({path.name for path in images.iterdir()} - {second["meta"]["path"]}))
    (images / unanswered).unlink()
    assert desk.sync()["progress"]["labelled"] == 2
    assert len(owner.tasks(project)) == 7, "the unanswered image that is gone is asked for no longer"
    owner.ask("DELETE", f"/api/projects/{project}/")
    again = desk.sync()
    assert again["progress"]["labelled"] == 2 and number(again) != project
    assert {task["meta"]["path"] for task in owner.tasks(number(again))} == {
        path.name for path in images.iterdir()
    } - {second["meta"]["path"]}
    desk.did("label", "finish", "--remove-project")
    assert len(desk.decisions) == 2
    finished = desk.run("label", "sync")
    assert "finished" in finished.stderr and finished.returncode == 2


def test_a_server_away_and_a_wrong_token_are_told(
    label_studio: LabelStudioServer, few: HiddenLabels, folder: Path
) -> None:
    desk = Desk(label_studio, folder, "away")
    desk.start(few.folder, "--no-assist")
    wrong = desk.run("label", "sync", LIGHTBOX_LABEL_STUDIO_TOKEN="0" * 40)
    assert wrong.returncode == 2 and "refuses the token" in wrong.stderr and "0" * 40 not in wrong.stderr
    none = desk.run("label", "sync", LIGHTBOX_LABEL_STUDIO_TOKEN="")
    assert none.returncode == 2 and "no token for Label Studio" in none.stderr
    away = desk.run(
        *("label", "start", "--images", few.folder, "--classes", "no", "yes", "--no-assist"),
        LIGHTBOX_LABEL_STUDIO_URL="http://127.0.0.1:9",
    )
    assert away.returncode == 2 and "does not answer" in away.stderr
    assert "to go" in desk.did("label", "status").stdout
    still = desk.run("label", "status", "--json", "-", LIGHTBOX_LABEL_STUDIO_TOKEN="0" * 40)
    assert still.returncode == 0 and "these figures may not be the latest" in still.stderr
    assert json.loads(still.stdout)["progress"]["to_go"] == 8


def test_a_key_pressed_in_a_browser_is_in_the_status(
    label_studio: LabelStudioServer, few: HiddenLabels, folder: Path
) -> None:
    desk = Desk(label_studio, folder, "browser")
    address = desk.start(few.folder, "--no-assist")["project_url"]
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(30_000)
        page.goto(f"{label_studio.url}/user/login/")
        page.fill("#email", OWNER)
        page.fill("#password", PASSWORD)
        page.press("#password", "Enter")
        page.wait_for_url("**/")
        page.goto(f"{address}?labeling=1")
        page.get_by_text("not usable").first.wait_for()
        page.get_by_text("Press 0 when it is not usable").wait_for()
        page.keyboard.press("Escape")
        page.wait_for_function("Array.from(document.images).some(image => image.naturalWidth >= 100)")
        page.keyboard.press("2")
        with page.expect_response(
            lambda answer: "/annotations" in answer.url and answer.request.method == "POST"
        ):
            page.keyboard.press("Control+Enter")
    progress = desk.status()["progress"]
    assert progress["by_class"] == {"no": 0, "yes": 1} and progress["to_go"] == 7


def test_enough_labels_start_a_retraining_by_an_event(
    label_studio: LabelStudioServer, few: HiddenLabels, folder: Path, prefect_api: str, tmp_path: Path
) -> None:
    desk = Desk(label_studio, folder, "events")
    (tmp_path / "events.yaml").write_text(
        f"""
dataset: {{name: events, positive_class: "yes"}}
images: {{url: {few.folder}}}
workspace: {{url: {desk.workspace}}}
labelling: {{settings: {{url: "{label_studio.url}", classes: ["no", "yes"], retrain_after: 3}}}}
"""
    )
    with temporary_settings({PREFECT_API_URL: prefect_api}):
        deploy(tmp_path, dry_run=False, reset_schedules=False)
        assert deploy(tmp_path, dry_run=True, reset_schedules=False).changes == ()
        begun = desk.start(few.folder, "--no-assist", "--retrain-after", "3")
        for task in label_studio.owner.tasks(number(begun))[:3]:
            label_studio.owner.answer(task["id"], few.truth[task["data"]["sha256"]])
        assert desk.sync()["retraining_called_for"]
        assert not desk.sync()["retraining_called_for"], "the same labels do not call twice"

        def asked(path: str, **body: Any) -> list[dict[str, Any]]:
            answer = httpx.post(f"{prefect_api}{path}", json=body, timeout=20)
            return list(answer.raise_for_status().json())

        (retrain,) = [row for row in asked("/deployments/filter") if row["name"] == "retrain-events"]
        deadline = time.monotonic() + 60
        triggered: list[dict[str, Any]] = []
        while not triggered and time.monotonic() < deadline:
            time.sleep(0.3)
            of_retrain = asked("/flow_runs/filter", flow_runs={"deployment_id": {"any_": [retrain["id"]]}})
            triggered = [run for run in of_retrain if not run["auto_scheduled"]]
        assert len(triggered) == 1
        artifacts = {row["key"]: row for row in asked("/artifacts/latest/filter")}
        assert "| labelled | 3 |" in artifacts["events-labelling"]["data"]
        assert json.loads(artifacts["events-labelling-people"]["data"])[0]["name"] == OWNER
        assert artifacts["events-labelling-progress"]["data"] == pytest.approx(37.5)
