"""A search on a real Ray cluster of two nodes, one of which dies in the middle."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.runs.main_job import lightbox
from support.runs.small_search import COMMAND, arguments, trainings
from support.services.prefect_server import free_port
from support.services.ray_cluster import RayCluster, ray_head

from tasks.demo.data_set import DemoSummary

pytestmark = [pytest.mark.service, pytest.mark.slow]

HERE = """
import ray
from flows.ray_cluster import ray_cluster
from tasks.automl.settings import SearchSettings

with ray_cluster(SearchSettings(runner="ray")):
    processors = [node["Resources"]["CPU"] for node in ray.nodes()]
print(processors, ray.is_initialized())
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_head() as started:
        yield started


def test_without_an_address_a_cluster_is_started_here_and_stopped(tmp_path: Path) -> None:
    environment = {**os.environ, "PREFECT_API_URL": "http://127.0.0.1:9/api", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", HERE],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"[{float(os.cpu_count() or 1)}] False\n"


def test_a_node_that_dies_changes_nothing(
    cluster: RayCluster, small_demo: DemoSummary, space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    out, cache = tmp_path / "out.json", tmp_path / "cache"
    twice = ("--max-concurrent-trials", "2", "--json", str(out))
    done = lightbox(*arguments(small_demo, tmp_path / "here", space), *twice, cache=cache)
    assert done.returncode == 0, done.stderr
    here = json.loads(out.read_text())

    workspace = tmp_path / "ray"
    on_ray = ("--runner", "ray", "--ray-address", cluster.address)
    command = [COMMAND, *arguments(small_demo, workspace, space), *twice, *on_ray]
    environment = {**os.environ, **cluster.environment, "LIGHTBOX_CACHE": str(cache)}
    environment["PREFECT_LOGGING_LEVEL"] = "ERROR"
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with cluster.node() as second, subprocess.Popen(command, env=environment, **pipes) as process:
        while not (trainings(workspace) and second.trains()):
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.2)
        second.kill()
        results, told = process.communicate(timeout=240)
    assert (process.returncode, results) == (0, ""), told
    assert "2 retries remaining, so the task will be retried" in told
    there = json.loads(out.read_text())
    assert there["search"]["chosen"] == here["search"]["chosen"]
    assert len(trainings(workspace)) == len(trainings(tmp_path / "here"))


@pytest.mark.parametrize(
    ("more", "token", "said"),
    [
        ({"gpus-per-trial": "2"}, True, "asks for 1 CPUs and 2 GPUs; no node of the Ray cluster has both"),
        ({}, False, "asks for a token"),
        ({"ray-address": f"127.0.0.1:{free_port()}"}, True, "no Ray cluster answers at 127.0.0.1"),
    ],
    ids=["more than there is", "no token", "nobody there"],
)
def test_a_cluster_that_cannot_be_used_is_told_before_any_training(
    cluster: RayCluster,
    small_demo: DemoSummary,
    space: Path,
    tmp_path: Path,
    more: dict[str, str],
    token: bool,
    said: str,
) -> None:
    options = {"runner": "ray", "ray-address": cluster.address} | more
    asked = [word for name, value in options.items() for word in (f"--{name}", value)]
    environment = {**os.environ, **(cluster.environment if token else {}), "COLUMNS": "200"}
    done = subprocess.run(
        [COMMAND, *arguments(small_demo, tmp_path / "ws", space), *asked],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "cure:" in done.stderr
    assert not trainings(tmp_path / "ws")
