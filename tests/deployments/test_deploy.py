"""`lightbox deploy` against a real server: what is registered, what a second run changes, what people's hands keep."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from support.services.prefect_ui import Prefect

from deployments.deploy import deploy
from deployments.plan import Plan
from tasks.errors import ConfigError

pytestmark = [pytest.mark.service, pytest.mark.slow]


def _deployed(folder: Path, *, dry_run: bool = False, reset: bool = False) -> Plan:
    return deploy(folder, dry_run=dry_run, reset_schedules=reset)


def test_everything_is_registered_once(prefect: Prefect, data_sets: Path) -> None:
    planned = _deployed(data_sets, dry_run=True)
    assert prefect.post("/deployments/filter") == [], "a dry run changes nothing"
    made = _deployed(data_sets)
    assert [change.name for change in made.changes] == [change.name for change in planned.changes]
    assert _deployed(data_sets).changes == ()

    pools = {row["name"]: row for row in prefect.post("/work_pools/filter")}
    assert pools["gpu"]["concurrency_limit"] == 1
    assert pools["default"]["type"] == pools["gpu"]["type"] == "process"
    rows = {row["name"]: row["work_pool_name"] for row in prefect.post("/deployments/filter")}
    assert rows["retrain-small"] == "default"
    assert rows["fine-tune"] == rows["search"] == "gpu"
    assert prefect.get("/block_types/slug/lightbox-datastore")["name"] == "Lightbox Datastore"


def test_the_next_two_runs_stand_there_all_year_once_each(prefect: Prefect, data_sets: Path) -> None:
    _deployed(data_sets)
    zone = ZoneInfo("Europe/Berlin")
    due = [datetime.fromisoformat(row).astimezone(zone) for row in prefect.upcoming("retrain-small")]
    now = datetime.now(UTC)
    expected = [
        when
        for year in (now.year, now.year + 1)
        for month in (1, 7)
        if (when := datetime(year, month, 1, 3, tzinfo=zone)) > now
    ]
    assert due == expected[:2]
    _deployed(data_sets)
    assert len(prefect.upcoming("retrain-small")) == 2, "Prefect's own scheduler and ours share their keys"


def test_a_schedule_changed_by_hand_stays_unless_reset(prefect: Prefect, data_sets: Path) -> None:
    _deployed(data_sets)
    deployment = prefect.deployment("retrain-small")
    (schedule,) = deployment["schedules"]
    path = f"{prefect.server.url}/deployments/{deployment['id']}/schedules/{schedule['id']}"
    httpx.patch(path, json={"active": False}).raise_for_status()
    kept = _deployed(data_sets)
    assert kept.changes == ()
    assert "retrain-small" in kept.kept[0]
    assert not prefect.deployment("retrain-small")["schedules"][0]["active"]
    assert _deployed(data_sets, reset=True).changes
    (schedule,) = prefect.deployment("retrain-small")["schedules"]
    assert schedule["active"]
    assert len(prefect.upcoming("retrain-small")) == 2


def test_a_removed_row_is_removed_on_the_server_and_nothing_else(
    prefect: Prefect, data_sets: Path, tmp_path: Path
) -> None:
    prefect.post("/work_pools/", name="of-others", type="process")
    _deployed(data_sets)
    removed = _deployed(tmp_path)
    assert {change.action for change in removed.changes} == {"remove", "change"}
    assert "retrain-small" not in {row["name"] for row in prefect.post("/deployments/filter")}
    assert {row["name"] for row in prefect.post("/automations/filter")} == {"Lightbox: dead runs"}
    assert {row["name"] for row in prefect.post("/work_pools/filter")} == {"default", "gpu", "of-others"}
    _deployed(data_sets)


def test_values_out_of_bounds_are_refused_before_a_run(prefect: Prefect, data_sets: Path) -> None:
    _deployed(data_sets)
    wrong: list[dict[str, Any]] = [
        {"gate": {"min_recall": 7}},
        {"training": {"backbone": "alexnet"}},
        {"training": {"epochs": 3}},
    ]
    for parameters in wrong:
        with pytest.raises(httpx.HTTPStatusError, match="409"):
            prefect.submit("retrain-small", **parameters)


def test_a_missing_channel_names_its_cure(prefect: Prefect, data_sets: Path, tmp_path: Path) -> None:
    text = (data_sets / "small.yaml").read_text().replace("block: radiology", "block: nobody")
    (tmp_path / "small.yaml").write_text(text)
    with pytest.raises(ConfigError, match="'nobody' of type custom-webhook"):
        _deployed(tmp_path)
