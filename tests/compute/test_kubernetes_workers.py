"""The kubernetes driver: the real client against a server that answers as the API server does.

The shape is that of the subresource `scale` of a Deployment (autoscaling/v1 Scale,
kubernetes.io/docs/reference/kubernetes-api/autoscaling-resources/scale-v1/), held against Kubernetes's own schema.
"""

from collections.abc import Iterator
from pathlib import Path

import kubernetes_validate
import pytest
from kubernetes.client import ApiClient, Configuration
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.settings import PREFECT_API_URL, temporary_settings
from support.services.recorded_api import Answer, Asked, recorded_api

from flows.watchdog import WatchdogLimits, Watched, watchdog
from tasks.compute.drivers import driver_of
from tasks.compute.kubernetes_workers import KubernetesWorkers
from tasks.compute.settings import KubernetesCompute
from tasks.errors import ComputeUnavailable, ConfigError
from tasks.server.work_pool import client as prefect_client

SCALE = "/apis/apps/v1/namespaces/lightbox/deployments/worker-gpu/scale"
SETTINGS = KubernetesCompute(replicas=3, stopped_within_seconds=1)


class Cluster:
    """One Deployment."""

    def __init__(self) -> None:
        self.url = ""
        self.wanted = 0
        self.there = 0
        self.slow = 0
        self.patches: list[object] = []
        self.refusal: tuple[int, str] | None = None

    def answer(self, asked: Asked) -> Answer:
        """As the API server does; a controller follows what is wanted, `slow` requests later."""
        if self.refusal is not None:
            status, reason = self.refusal
            return Answer(status, {"kind": "Status", "apiVersion": "v1", "reason": reason, "code": status})
        assert asked.path == SCALE
        if asked.method == "PATCH":
            self.patches.append(asked.body)
            self.wanted = asked.body["spec"]["replicas"]
        elif self.slow:
            self.slow -= 1
        else:
            self.there = self.wanted
        scale = {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {"name": "worker-gpu", "namespace": "lightbox", "resourceVersion": "11"},
            "spec": {"replicas": self.wanted} if self.wanted else {},
            "status": {"replicas": self.there, "selector": "app=worker-gpu"},
        }
        kubernetes_validate.validate(scale, "1.34", strict=True)
        return Answer(body=scale)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """An API server with a Deployment at 0."""
    deployment = Cluster()
    with recorded_api(deployment.answer) as deployment.url:
        yield deployment


def _driver(url: str) -> KubernetesWorkers:
    configuration = Configuration(host=url)
    configuration.retries = 0
    return KubernetesWorkers("cluster", SETTINGS, ApiClient(configuration))


def test_a_deployment_is_scaled_up_once_and_down_to_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.compute.kubernetes_workers.POLL_SECONDS", 0.01)
    driver = _driver(cluster.url)
    assert driver.status() == "asleep"
    driver.stop()
    driver.start()
    driver.start()
    assert cluster.patches == [{"spec": {"replicas": 3}}]
    cluster.slow = 4
    driver.stop()
    assert cluster.patches[1:] == [{"spec": {"replicas": 0}}]
    assert cluster.there == 0
    assert driver.status() == "asleep"


def test_a_deployment_that_a_person_scaled_stays_so(cluster: Cluster) -> None:
    cluster.wanted = 7
    _driver(cluster.url).start()
    assert cluster.patches == []


def test_pods_that_do_not_end_are_told(cluster: Cluster) -> None:
    cluster.wanted = cluster.there = 1
    cluster.slow = 10_000
    with pytest.raises(ComputeUnavailable, match="still has 1 pods 1 s after"):
        _driver(cluster.url).stop()


@pytest.mark.parametrize(
    ("status", "reason", "kind", "said"),
    [
        (404, "NotFound", ConfigError, "'worker-gpu' in namespace 'lightbox' does not exist"),
        (403, "Forbidden", ConfigError, "this account may not read it"),
        (401, "Unauthorized", ConfigError, "this account may not read it"),
        (500, "InternalError", ComputeUnavailable, "could not read it"),
    ],
)
def test_a_refusal_names_the_deployment_and_a_cure(
    cluster: Cluster, status: int, reason: str, kind: type[Exception], said: str
) -> None:
    cluster.refusal = (status, reason)
    with pytest.raises(kind, match=said) as caught:
        _driver(cluster.url).status()
    assert "cure: " in str(caught.value)


def test_without_a_cluster_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ComputeUnavailable, match="API server does not answer"):
        _driver("http://127.0.0.1:9").status()
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config")
    )
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigError, match="No Kubernetes cluster is configured"):
        driver_of("cluster", SETTINGS)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(ConfigError, match="No Kubernetes cluster is configured"):
        driver_of("cluster", SETTINGS)


@pytest.mark.service
@pytest.mark.slow
def test_workers_that_were_forgotten_are_scaled_to_nothing(
    cluster: Cluster, prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = Configuration(host=cluster.url)
    monkeypatch.setattr("tasks.compute.kubernetes_workers._client", lambda: ApiClient(configuration))
    with temporary_settings({PREFECT_API_URL: prefect_api}), prefect_client() as server:
        server.create_work_pool(WorkPoolCreate(name="cluster", type="process"))
        driver = driver_of("cluster", SETTINGS)
        driver.start()
        assert driver.status() == "starting"
        found = watchdog([Watched(pool="cluster", driver=SETTINGS)], WatchdogLimits(idle_minutes=0))
    assert found.stopped == ["cluster"]
    assert cluster.wanted == 0
