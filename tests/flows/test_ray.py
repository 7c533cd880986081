"""A search on a real Ray cluster of two nodes, one of which dies in the middle."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from main_job import lightbox
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect_service import free_port
from small_search import COMMAND, SPACE, arguments, trainings

from flows.ray_cluster import ray_cluster
from tasks.data.demo import DemoSummary
from tasks.errors import ConfigError
from tasks.search_settings import SearchSettings

pytestmark = [pytest.mark.service, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head with one processor; nodes are added by whoever needs them."""
    from ray.cluster_utils import Cluster

    memory = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **memory})
        try:
            yield cluster
        finally:
            cluster.shutdown()  # type: ignore[no-untyped-call]


def test_without_an_address_a_cluster_is_started_here_and_stopped() -> None:
    import ray

    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        ray_cluster(SearchSettings(runner="ray")),
    ):
        (node,) = ray.nodes()  # type: ignore[no-untyped-call]
        assert node["Resources"]["CPU"] == os.cpu_count()
    assert not ray.is_initialized()


def trains(node: Any) -> bool:
    """Whether a worker of the node is in the middle of a training."""
    raylet = node.all_processes["raylet"][0].process.pid
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(process.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1])
            title = process.joinpath("cmdline").read_text()
        except (OSError, ValueError):
            continue  # it has ended
        if parent == raylet and title.startswith("ray::search-unit"):
            return True
    return False


def test_a_node_that_dies_changes_nothing(
    cluster: Any, small_demo: DemoSummary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    space = tmp_path / "space.yaml"
    space.write_text(SPACE)
    out, cache = tmp_path / "out.json", tmp_path / "cache"
    twice = ("--max-concurrent-trials", "2", "--json", str(out))
    done = lightbox(*arguments(small_demo, tmp_path / "here", space), *twice, cache=cache)
    assert done.returncode == 0, done.stderr
    here = json.loads(out.read_text())

    second = cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    workspace = tmp_path / "ray"
    on_ray = ("--runner", "ray", "--ray-address", cluster.address)
    command = [COMMAND, *arguments(small_demo, workspace, space), *twice, *on_ray]
    environment = {**os.environ, "LIGHTBOX_CACHE": str(cache), "PREFECT_LOGGING_LEVEL": "ERROR"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        while not (trainings(workspace) and trains(second)):
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.2)
        cluster.remove_node(second, allow_graceful=False)
        results, told = process.communicate(timeout=240)
    assert (process.returncode, results) == (0, ""), told
    assert "2 retries remaining, so the task will be retried" in told
    there = json.loads(out.read_text())
    assert there["search"]["chosen"] == here["search"]["chosen"]
    assert len(trainings(workspace)) == len(trainings(tmp_path / "here"))


def test_what_the_cluster_can_never_give_is_refused(cluster: Any) -> None:
    settings = SearchSettings(runner="ray", ray_address=cluster.address, gpus_per_trial=2)
    with (
        pytest.raises(ConfigError, match="asks for 1 CPUs and 2 GPUs; no node of the Ray cluster has both"),
        ray_cluster(settings),
    ):
        pytest.fail("joined")
    nobody = SearchSettings(runner="ray", ray_address=f"127.0.0.1:{free_port()}")
    with pytest.raises(ConfigError, match=r"no Ray cluster answers at 127\.0\.0\.1"), ray_cluster(nobody):
        pytest.fail("joined")
