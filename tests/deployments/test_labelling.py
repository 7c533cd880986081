"""What a data set's file says of labelling becomes a deployment, and events that start it and a retraining."""

from pathlib import Path
from uuid import UUID, uuid4

import pytest
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger

from deployments.data_set_file import read_data_sets
from deployments.desired import DesiredState, desired_state
from deployments.registered import POOLS, SHARED
from deployments.triggers import resolved
from tasks.errors import ConfigError

MINIMAL = """
dataset: {name: lungs, positive_class: "yes"}
images: {url: /data/lungs}
workspace: {url: /data/ws}
"""


def desired(folder: Path, text: str) -> DesiredState:
    (folder / "lungs.yaml").write_text(MINIMAL + text)
    return desired_state(POOLS, SHARED, read_data_sets(folder), {}, "http://ui")


def started(automation: AutomationCore) -> UUID:
    (action,) = automation.actions
    assert isinstance(action, RunDeployment) and action.deployment_id is not None
    return action.deployment_id


def test_without_labelling_nobody_is_asked(tmp_path: Path) -> None:
    found = desired(tmp_path, "")
    assert "label-lungs" not in {row.name for row in found.deployments}
    assert [automation.name for automation in found.automations] == ["Lightbox: dead runs"]


def test_labelling_is_a_deployment_and_two_events(tmp_path: Path) -> None:
    found = desired(tmp_path, "labelling: {settings: {classes: ['no', 'yes'], retrain_after: 20}}")
    row = next(row for row in found.deployments if row.name == "label-lungs")
    assert (
        row.parameters["labelling"]["classes"] == ["no", "yes"]
        and row.parameters["images"]["url"] == "/data/lungs"
    )
    assert row.concurrency_limit == 1 and row.schedules[0].cron == "*/15 * * * *"
    _, images, labels = found.automations
    ids = {"label-lungs": uuid4(), "retrain-lungs": uuid4()}
    for automation, event, resource, deployment in (
        (images, "lightbox.images.landed", "lightbox.images.lungs", "label-lungs"),
        (labels, "lightbox.labels.landed", "lightbox.labels.lungs", "retrain-lungs"),
    ):
        assert isinstance(automation.trigger, EventTrigger)
        assert automation.trigger.expect == {event}
        assert automation.trigger.model_dump()["match"] == {"prefect.resource.id": resource}
        assert started(resolved(automation, ids)) == ids[deployment]
        assert started(resolved(automation, {})) == started(automation) not in ids.values()


def test_a_token_in_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="token"):
        desired(tmp_path, "labelling: {settings: {token: secret}}")
    with pytest.raises(ConfigError, match="url"):
        desired(tmp_path, "labelling: {settings: {url: 'http://user:secret@host'}}")
