"""What should be on the server, from rows and files: pure, no server needed."""

import re
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import torch
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.schedules import CronSchedule
from prefect.server.utilities.user_templates import render_user_template_sync
from pydantic import ValidationError

from deployments.data_set_file import DataSetFile, read_data_sets
from deployments.deploy import DATA_SETS
from deployments.desired import DesiredState, desired_state
from deployments.notifications import automations_of
from deployments.registered import POOLS, SHARED, Channel, Schedule
from deployments.schedules import schedule_difference, slug_of, to_create
from flows.config import TrainingSettings
from tasks.errors import ConfigError
from tasks.evaluation.bars import Check
from tasks.evaluation.gate import Decision
from tasks.evaluation.looks import Looks
from tasks.evaluation.metrics import evaluate
from tasks.evaluation.settings import GateSettings
from tasks.pages import message
from tasks.pages.outcome import Outcome

BLOCK = UUID(int=7)
YEARLY = Schedule(cron="0 3 1 1 *", time_zone="Europe/Berlin")
MINIMAL = """
dataset: {name: lungs, positive_class: "yes"}
images: {url: /data/lungs}
workspace: {url: /data/ws}
"""


def _files(folder: Path, **texts: str) -> tuple[DataSetFile, ...]:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return read_data_sets(folder)


def _desired(files: tuple[DataSetFile, ...]) -> DesiredState:
    blocks = {channel.name: BLOCK for file in files for channel in file.notify}
    return desired_state(POOLS, SHARED, files, blocks, "http://ui")


def test_a_small_file_becomes_a_half_yearly_deployment_whose_form_is_filled(tmp_path: Path) -> None:
    told = "notify: [{kind: webhook, block: radiology}]\ncompute: {pool: gpu, driver: {kind: local}}"
    desired = _desired(_files(tmp_path, lungs=MINIMAL + told))
    rows = {row.name: row for row in desired.deployments}
    assert rows.keys() >= {"fine-tune", "score", "compute-start", "compute-stop", "watchdog"}
    lungs = rows["retrain-lungs"]
    assert lungs.schedules == (Schedule(cron="0 3 1 1,7 *"),)
    assert lungs.parameters["dataset"]["positive_class"] == "yes"
    assert lungs.parameters["compute"]["pool"] == rows["fine-tune"].pool == "gpu"
    assert {"lightbox", "lungs", "notify-webhook-radiology"} <= set(lungs.tags)
    assert "notify-webhook-radiology" not in rows["fine-tune"].tags, "a failed training is told of once"
    assert rows["watchdog"].parameters == {"watched": [{"pool": "gpu", "driver": {"kind": "local"}}]}
    assert len(desired.automations) == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MINIMAL.replace('"yes"', "yes"), "(?s)positive_class.*quote them"),
        (MINIMAL + "gate: {min_recall: 2}", "gate.min_recall"),
        (MINIMAL + "schedule: {cron: 0 3 1 13 *}", "schedule.cron"),
        (MINIMAL + "schedule: {cron: 0 3 1 1 *, time_zone: Mars/Olympus}", "IANA"),
        (MINIMAL + "password: secret", "password"),
        ("dataset: [", "cannot be read"),
    ],
    ids=["bare yes", "bound", "month", "zone", "unknown key", "no YAML"],
)
def test_a_wrong_file_is_refused_by_name_and_field(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r"lungs\.yaml") as caught:
        _files(tmp_path, lungs=text)
    assert re.search(said, str(caught.value))


def test_two_files_for_one_data_set_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="more than one file is about lungs"):
        _files(tmp_path, first=MINIMAL, second=MINIMAL)


def test_the_example_is_a_valid_file(tmp_path: Path) -> None:
    (file,) = _files(tmp_path, example=(DATA_SETS / "brain_mri.yaml.example").read_text())
    assert file.name == "brain_mri"
    assert file.dataset.positive_class == "yes"
    with pytest.raises(ValidationError):
        file.dataset.name = "other"  # type: ignore[misc]


def _on_server(row: Schedule, *, cron: str | None = None, active: bool = True) -> DeploymentSchedule:
    schedule = CronSchedule(cron=cron or row.cron, timezone=row.time_zone)
    return DeploymentSchedule(schedule=schedule, active=active, slug=slug_of(row))


def test_schedules_changed_by_hand_stay_unless_reset() -> None:
    other = Schedule(cron="0 4 1 6 *")
    slug = slug_of(YEARLY)
    edited, paused = _on_server(YEARLY, cron="0 5 2 2 *"), _on_server(YEARLY, active=False)
    cases = [
        ("untouched", [_on_server(YEARLY)], [slug], ([], [], [])),
        ("first deploy", [], [], ([YEARLY], [], [])),
        ("edited", [edited], [slug], ([], [], [slug])),
        ("paused", [paused], [slug], ([], [], [slug])),
        ("removed by hand", [], [slug], ([], [], [slug])),
        ("the row changed", [_on_server(other)], [slug_of(other)], ([YEARLY], [slug_of(other)], [])),
    ]
    for name, found, deployed, (create, delete, kept) in cases:
        difference = schedule_difference([YEARLY], found, deployed, reset=False)
        assert (list(difference.create), list(difference.delete), list(difference.kept)) == (
            create,
            delete,
            kept,
        ), name
    for found in ([edited], [paused], []):
        reset = schedule_difference([YEARLY], found, [slug], reset=True)
        assert reset.create == (YEARLY,)
        assert len(reset.delete) == len(found)
    added = DeploymentSchedule(schedule=CronSchedule(cron="* * * * *"), slug=None)
    assert schedule_difference([], [added], [], reset=True).delete == ()
    assert to_create(YEARLY).slug == slug


def _message(reason: str) -> str:
    labels = np.repeat([1, 0], 60)
    evaluation = evaluate(
        labels,
        np.eye(2)[labels],
        np.where(np.arange(120) < 6, 0, labels),
        np.arange(120),
        ["no", "yes"],
        positive_class="yes",
        protocol="cross_validation",
        resamples=20,
    )
    check = Check(question="recall", passed=False, words=reason)
    settings = GateSettings(min_recall=0.85)
    decision = Decision(
        verdict="refused", checks=(check,), reasons=[reason], settings=settings, looks=Looks()
    )
    outcome = Outcome("lungs", "v4", decision, "v3", is_champion=False)
    return message.text(outcome, "lightbox.model.recall-low", evaluation, "az://lightbox/report")


def test_a_message_says_all_at_one_glance() -> None:
    said = _message("recall of yes\nis low")
    for part in (
        "lungs",
        "120",
        "0.900 (95 % interval 0.799 to 0.953)",
        "0.85",
        "v4",
        "az://lightbox/report",
    ):
        assert part in said
    assert "Now: Version v3 stays in service: version v4 was refused." in said
    assert "recall of the new model v4 is not shown to reach the bar" in said.lower()
    assert "Why: recall of yes is low" in said, "a class name cannot break the lines of a message"


def test_channels_escape_their_own_markup() -> None:
    data = "<!channel> & <b>"
    shown = {
        "slack": "&lt;!channel&gt; &amp; &lt;b&gt;",
        "teams": "&lt;!channel&gt; &amp; &lt;b&gt;",
        "webhook": data,
    }
    for kind, expected in shown.items():
        models = automations_of(Channel(kind=kind, block="x"), BLOCK, "http://ui")[0]
        body = models.actions[0].body  # type: ignore[union-attr]
        context = {"event": {"payload": {"text": data}}, "flow_run": {"id": "run-1"}}
        rendered = render_user_template_sync(body.replace("(flow_run|ui_url) or ", ""), context)
        assert rendered == f"{expected}\nRun: http://ui/runs/flow-run/run-1"


@pytest.mark.parametrize("place", [1, 2], ids=["failed", "late"])
def test_a_message_about_a_run_names_its_deployment_and_says_what_to_do(place: int) -> None:
    action = automations_of(Channel(kind="webhook", block="x"), BLOCK, "http://ui")[place].actions[0]
    run = {
        "id": "run-1",
        "name": "normal-scorpion",
        "work_pool_name": "gpu",
        "state": {"name": "Failed", "message": "the store does not answer"},
    }
    context = {"deployment": {"name": "watchdog"}, "flow": {"name": "watch"}, "flow_run": run}
    subject, body = (
        render_user_template_sync(text.replace("(flow_run|ui_url) or ", ""), context)
        for text in (action.subject, action.body)  # type: ignore[union-attr]
    )
    assert subject == ("Lightbox: watchdog failed", "Lightbox: watchdog is late")[place - 1]
    assert "What to do: " in body and "watchdog" in body and "the model that is served stays" in body
    without = {"flow": {"name": "watch"}, "flow_run": run}
    assert "Lightbox: watch" in render_user_template_sync(action.subject, without)  # type: ignore[union-attr]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_missing_device_is_refused_or_replaced_as_set_and_said() -> None:
    with pytest.raises(ConfigError, match="no CUDA device"):
        TrainingSettings(device="cuda").options_here()
    options, said = TrainingSettings(device="cuda", on_missing_device="cpu").options_here()
    assert options.device == "cpu"
    assert said is not None
    assert "cuda, is missing" in said
    assert TrainingSettings(device="auto").options_here()[1] is None


@pytest.mark.parametrize(
    ("cron", "told"),
    [
        ("0 3 30 2 *", "never comes"),
        ("0 3 31 4 *", "never comes"),
        ("0 3 31 2,4,6,9,11 *", "never comes"),
        ("0 0 3 1 * *", "has 6 fields: write 5"),
        ("0 3 1 1 * 2030", "has 6 fields: write 5"),
        ("0 3 *", "has 3 fields: write 5"),
        ("", "has 0 fields: write 5"),
        ("@reboot", "cron"),
        ("0 25 * * *", "cron"),
        ("R R * * *", "cron"),
    ],
)
def test_a_schedule_that_means_something_else_or_never_comes_is_refused_where_it_is_read(
    cron: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(ValidationError, match=told):
        Schedule(cron=cron)
    (tmp_path / "lungs.yaml").write_text(MINIMAL + f"schedule: {{cron: '{cron}'}}")
    with pytest.raises(ConfigError, match=r"lungs\.yaml: schedule\.cron"):
        read_data_sets(tmp_path)


@pytest.mark.parametrize(
    "cron", ["0 3 1 1,7 *", "0 3 29 2 *", "0 3 l * *", "0 3 * * mon#1", "@yearly", "*/15 * * * *"]
)
def test_a_schedule_that_comes_however_seldom_is_taken(cron: str) -> None:
    assert Schedule(cron=cron).cron == cron
