"""A real Ray cluster on loopback, of processes of its own: none of Ray's native threads live in a test's process."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.services.prefect_server import free_port

START_SECONDS = 90.0
MEMORY = ("--num-cpus", "1", "--object-store-memory", str(80 * 2**20), "--dashboard-agent-listen-port", "0")
RAY = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats", *MEMORY]


@dataclass(frozen=True)
class RayNode:
    """A node with one processor: `ray start --block`, and all that it started."""

    process: subprocess.Popen[bytes]

    def trains(self) -> bool:
        """Whether a worker of this node is in the middle of a training."""
        return any(title.startswith("ray::search-unit") for title in _descendants(self.process.pid))

    def kill(self) -> None:
        """As when its power fails."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@dataclass(frozen=True)
class RayCluster:
    """A head with one processor; its address, and the environment of whoever may join."""

    address: str
    environment: dict[str, str]
    folder: Path

    @contextmanager
    def node(self) -> Iterator[RayNode]:
        """One more node with one processor."""
        with _started(self, "node", "--address", self.address) as process:
            yield RayNode(process)


@contextmanager
def ray_head() -> Iterator[RayCluster]:
    """A cluster that asks for a token."""
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}
    port = free_port()
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # short: sockets lie in it
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        cluster = RayCluster(f"127.0.0.1:{port}", token, folder)
        ports = ("--port", str(port), "--ray-client-server-port", str(free_port()))
        head = ("--head", "--include-dashboard", "false", "--temp-dir", str(folder / "t"))
        stack.enter_context(_started(cluster, "head", *head, *ports))
        yield cluster


@contextmanager
def _started(cluster: RayCluster, name: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    log = cluster.folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*RAY, *options],
            env={**os.environ, **cluster.environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while "Ray runtime started" not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield process
    finally:
        RayNode(process).kill()


def _descendants(ancestor: int) -> list[str]:
    """Titles of all processes below one."""
    parents, titles = {}, {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(process.name)] = int(
                process.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1]
            )
            titles[int(process.name)] = process.joinpath("cmdline").read_text()
        except OSError:
            continue  # it has ended
    found, level = [], {ancestor}
    while level := {child for child, parent in parents.items() if parent in level}:
        found += [titles[child] for child in level if child in titles]
    return found
