"""A Ray cluster for the trainings of a search: joined or started, and found fit before anything is trained.

Every node needs this package in the same version, the workspace and the Prefect server. Extra `ray`.
"""

import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, Final
from urllib.parse import urlsplit

from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings
from prefect.task_runners import TaskRunner

from tasks.automl.settings import SearchSettings
from tasks.engine.many import ATTEMPTS
from tasks.errors import ConfigError

ANSWER_SECONDS: Final = 10.0
HEALTH_SECONDS: Final = 60.0
"""`ray.init` itself waits for minutes where nothing answers."""

OBJECT_STORE_BYTES: Final = 128 * 2**20
"""Of a cluster that is started here: records pass through it, and no images."""

NO_GPU_UNASKED: Final = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1"}
"""Else a training that asked for no GPU sees all of its node's (github.com/ray-project/ray/issues/54868)."""


@contextmanager
def ray_cluster(settings: SearchSettings) -> Iterator[TaskRunner[Any]]:
    """Join the cluster that is named, or start one on this machine; leave it at the end.

    Tasks that are submitted inside ask for the processors and GPUs of a trial. A training whose node dies is begun
    again by Ray on another one, as the same task run.

    Raises:
        ConfigError: Ray is not installed, does not answer, cannot ever give what a trial asks for, or has nodes that
            do not reach the Prefect server.
    """
    # Below `uv run`, Ray would start its workers by uv as well, in a folder of their own: here they never came up.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        import ray
        from prefect_ray import RayTaskRunner
        from prefect_ray.context import remote_options
    except ImportError as error:
        raise ConfigError("runner ray: Ray is not installed", cure="pip install 'lightbox[ray]'") from error
    with redirect_stdout(sys.stderr):  # Ray prints what happens to nodes; stdout is for results
        joined = not ray.is_initialized()
        if joined:
            _join(settings.ray_address or "local")
        try:
            nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
            _check_resources(nodes, settings)
            server = _server_url()
            _check_server_reached(server, nodes)
            asked = {
                "num_cpus": settings.cpus_per_trial,
                "num_gpus": settings.gpus_per_trial,
                "max_retries": ATTEMPTS - 1,
                "runtime_env": {"env_vars": NO_GPU_UNASKED},
            }
            # The settings are what workers are sent.
            with temporary_settings({PREFECT_API_URL: server}), remote_options(**asked):
                yield RayTaskRunner()
        finally:
            if joined:
                ray.shutdown()


def _join(address: str) -> None:
    import ray

    if address not in {"auto", "local"}:
        _check_answers(address)
    options: dict[str, Any] = {"namespace": "lightbox", "log_to_driver": False, "configure_logging": False}
    if address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of time-outs, which raise as well
            ray.init(address, **options)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise ConfigError(
            f"no Ray cluster can be joined at {address}: {str(error).splitlines()[0]}",
            cure="start one with `ray start --head`, name another ray_address, or leave it out to start one here",
        ) from error


def _check_answers(address: str) -> None:
    client = urlsplit(address) if address.startswith("ray://") else None
    host, port = (client or urlsplit(f"//{address}")).netloc.rsplit(":", 1)
    cure = (
        "start it with `ray start --head`, or name another ray_address: HOST:6379 from one of its nodes, "
        "ray://HOST:10001 from elsewhere"
    )
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
        if client is None:
            check = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
            subprocess.run(check, timeout=HEALTH_SECONDS, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        if "InvalidAuthToken" in error.stderr:
            raise ConfigError(
                f"the Ray cluster at {address} asks for a token, and there is none here or another one",
                cure="set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to its file",
            ) from error
        raise ConfigError(f"what answers at {address} is not a Ray cluster in health", cure=cure) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"no Ray cluster answers at {address}", cure=cure) from error


def _check_resources(nodes: list[dict[str, Any]], settings: SearchSettings) -> None:
    wanted = {"CPU": settings.cpus_per_trial, "GPU": settings.gpus_per_trial}
    if any(all(node["Resources"].get(kind, 0) >= n for kind, n in wanted.items() if n > 0) for node in nodes):
        return
    most = {kind: max((node["Resources"].get(kind, 0) for node in nodes), default=0) for kind in wanted}
    raise ConfigError(
        f"a trial asks for {wanted['CPU']:g} CPUs and {wanted['GPU']:g} GPUs; no node of the Ray cluster has both "
        f"(at most {most['CPU']:g} CPUs, {most['GPU']:g} GPUs)",
        cure="lower cpus_per_trial or gpus_per_trial",
    )


def _server_url() -> str:
    """The configured server, or the temporary one of this process, which workers must not each start anew."""
    url = get_current_settings().api.url
    if url is not None:
        return url
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")  # else it calls its makers
    server = SubprocessASGIServer()  # one a process: the one that runs the flow
    server.start()
    return server.api_url


def _check_server_reached(server: str, nodes: list[dict[str, Any]]) -> None:
    """A server on this machine's loopback is out of other machines' reach."""
    import ray

    here = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    elsewhere = {node["NodeManagerAddress"] for node in nodes} - {here}
    if elsewhere and urlsplit(server).hostname in {"127.0.0.1", "localhost", "::1"}:
        raise ConfigError(
            f"the Ray nodes {', '.join(sorted(elsewhere))} cannot reach a Prefect server at {server}",
            cure="set PREFECT_API_URL to a server that every node reaches",
        )
