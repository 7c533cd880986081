"""Machines that are woken and put to sleep by the clock, as a data set's file says."""

from pathlib import Path

import pytest

from deployments.data_set_file import read_data_sets
from deployments.desired import desired_state
from deployments.registered import POOLS, SHARED, Deployment, Schedule
from tasks.errors import ConfigError

FILE = """
dataset: {{name: {name}, positive_class: "yes"}}
images: {{url: /data/{name}}}
workspace: {{url: /data/ws}}
compute: {{pool: gpu, driver: {{kind: {driver}}}}}
compute_hours:
  start: {{cron: "0 7 * * 1-5", time_zone: Europe/Berlin}}
  stop: {{cron: "{stop}", time_zone: Europe/Berlin}}
"""


def deployments(folder: Path, *files: tuple[str, str, str]) -> dict[str, Deployment]:
    for name, driver, stop in files:
        (folder / f"{name}.yaml").write_text(FILE.format(name=name, driver=driver, stop=stop))
    desired = desired_state(POOLS, SHARED, read_data_sets(folder), {}, "http://ui")
    return {row.name: row for row in desired.deployments}


def test_hours_of_a_file_become_deployments_with_schedules(tmp_path: Path) -> None:
    rows = deployments(tmp_path, ("lungs", "local", "0 19 * * 1-5"))
    start, stop = rows["compute-start-gpu"], rows["compute-stop-gpu"]
    assert start.schedules == (Schedule(cron="0 7 * * 1-5", time_zone="Europe/Berlin"),)
    assert stop.schedules == (Schedule(cron="0 19 * * 1-5", time_zone="Europe/Berlin"),)
    assert start.entrypoint == "flows.compute.compute_start"
    assert stop.entrypoint == "flows.compute.compute_stop"
    assert start.parameters == stop.parameters == {"pool": "gpu", "driver": {"kind": "local"}}
    assert rows["compute-start"].schedules == (), "the one without hours stays for people"


def test_two_files_may_say_the_same_of_a_pool_but_not_something_else(tmp_path: Path) -> None:
    same = deployments(tmp_path, ("lungs", "local", "0 19 * * *"), ("skin", "local", "0 19 * * *"))
    assert len([name for name in same if name.startswith("compute-stop-")]) == 1
    with pytest.raises(ConfigError, match="lungs and skin give the pool 'gpu' different"):
        deployments(tmp_path, ("lungs", "local", "0 19 * * *"), ("skin", "local", "0 20 * * *"))


def test_hours_without_machines_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"lungs: compute_hours: nothing can be started"):
        deployments(tmp_path, ("lungs", "none", "0 19 * * *"))
