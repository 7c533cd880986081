"""The `kubernetes` compute driver: a Deployment of workers, scaled between 0 and n.

With a cluster autoscaler the node with the GPU goes when its pods are gone; without one it stays, and only its GPU is
free for others.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tasks.compute.settings import ComputeStatus, KubernetesCompute
from tasks.errors import ComputeUnavailable, ConfigError
from tasks.server.work_pool import online_workers

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

TIMEOUT_SECONDS = (5, 30)
"""To connect, and to be answered."""
POLL_SECONDS = 1.0


class KubernetesWorkers:
    """Scales one Deployment through the API server."""

    def __init__(self, pool: str, settings: KubernetesCompute, api_client: "ApiClient | None" = None) -> None:
        self._pool = pool
        self._settings = settings
        self._api_client = api_client or _client()
        from kubernetes.client import AppsV1Api

        self._apps = AppsV1Api(self._api_client)

    def start(self) -> None:
        """Scale up from 0; a Deployment that somebody scaled otherwise stays so.

        Raises: ComputeUnavailable when the API server does not answer; ConfigError without Deployment or right.
        """
        wanted, _ = self._replicas()
        if wanted == 0:
            self._scale(self._settings.replicas)

    def stop(self) -> None:
        """Scale to 0 and wait until no pod is left.

        Raises: ComputeUnavailable when that takes too long.
        """
        wanted, there = self._replicas()
        if wanted:
            self._scale(0)
        deadline = time.monotonic() + self._settings.stopped_within_seconds
        while wanted or there:
            if time.monotonic() > deadline:
                raise ComputeUnavailable(
                    f"{self._label} still has {there} pods {self._settings.stopped_within_seconds} s after it was "
                    "scaled to 0.",
                    cure=f"look at `kubectl --namespace {self._settings.namespace} get pods`, or raise "
                    "stopped_within_seconds (--kubernetes-stopped-within-seconds)",
                )
            time.sleep(POLL_SECONDS)
            wanted, there = self._replicas()

    def status(self) -> ComputeStatus:
        """Asleep when it is scaled to 0 and no pod is left."""
        wanted, there = self._replicas()
        if not wanted and not there:
            return "asleep"
        return "ready" if wanted and online_workers(self._pool) else "starting"

    @property
    def _label(self) -> str:
        return f"The Deployment '{self._settings.deployment}' in namespace '{self._settings.namespace}'"

    def _replicas(self) -> tuple[int, int]:
        """How many are wanted, and how many pods there are."""
        with self._explained("read"):
            scale = self._apps.read_namespaced_deployment_scale(
                self._settings.deployment, self._settings.namespace, _request_timeout=TIMEOUT_SECONDS
            )
        wanted = scale.spec.replicas if scale.spec else None
        return wanted or 0, scale.status.replicas if scale.status else 0

    def _scale(self, replicas: int) -> None:
        with self._explained("scale"):
            self._apps.patch_namespaced_deployment_scale(
                self._settings.deployment,
                self._settings.namespace,
                {"spec": {"replicas": replicas}},
                _request_timeout=TIMEOUT_SECONDS,
            )

    @contextmanager
    def _explained(self, deed: str) -> Iterator[None]:
        """The client's errors as ours."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            yield
        except ApiException as error:
            said = f"{error.status} {error.reason}"
            if error.status == 404:
                raise ConfigError(
                    f"{self._label} does not exist ({said}).",
                    cure="apply infra/kubernetes, or correct namespace and deployment of the compute driver",
                ) from error
            if error.status in {401, 403}:
                raise ConfigError(
                    f"{self._label}: this account may not {deed} it ({said}).",
                    cure="give its service account the verbs get and patch on deployments/scale",
                ) from error
            raise ComputeUnavailable(
                f"{self._label}: the API server could not {deed} it ({said}).",
                cure=f"look at `kubectl --namespace {self._settings.namespace} describe deployment "
                f"{self._settings.deployment}`",
            ) from error
        except HTTPError as error:
            raise ComputeUnavailable(
                f"The Kubernetes API server does not answer, to {deed} '{self._settings.deployment}': {error}",
                cure="look at `kubectl cluster-info` on this machine",
            ) from error


def _client() -> "ApiClient":
    try:
        from kubernetes import client, config
    except ImportError as error:
        raise ConfigError(
            "The compute driver kubernetes needs the package kubernetes, which is not installed.",
            cure="pip install 'lightbox[kubernetes]' where the retraining and the watchdog run",
        ) from error
    configuration = client.Configuration()
    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except config.ConfigException as error:
        raise ConfigError(
            f"No Kubernetes cluster is configured: {error}",
            cure="run in a pod with a service account, or set KUBECONFIG",
        ) from error
    return client.ApiClient(configuration)
