"""What orchestration costs: the main job as plain function calls, as a flow with a server, and with a temporary one.

    python benchmarks/overhead.py            about a minute and a half on two cores

Everything is reused from a first run, so that what is left is orchestration: `plain` is the command without a server,
`server` the command with PREFECT_API_URL, `ephemeral` the flow in a process without one. Each is a process of its own,
run after a warm-up; what is compared is the time inside the main job (`seconds.total`), without imports. Aim: `server`
less than 5 s above `plain`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from tasks.demo.data_set import make_demo

RUN = """
import json, sys, time
from flows.retrain import retrain
from flows.config import DataSet, TrainingSettings, WorkspaceLocation
from tasks.data.settings import CatalogueSettings, ImagesSource
flow = retrain.fn if sys.argv[1] == "plain" else retrain
began = time.perf_counter()
result = flow(
    images=ImagesSource(url=sys.argv[2]),
    workspace=WorkspaceLocation(url=sys.argv[3]),
    dataset=DataSet(name="small", positive_class="yes"),
    checks=CatalogueSettings(n_folds=3),
    training=TrainingSettings(preset="fast"),
)
print(json.dumps([time.perf_counter() - began, result.reused]))
"""


def main() -> None:
    """Print the seconds of each way and what they are above plain calls."""
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    options.add_argument("--port", type=int, default=4277)
    port = options.parse_args().port
    with tempfile.TemporaryDirectory(prefix="lightbox-overhead-") as name:
        folder = Path(name)
        demo = make_demo(folder / "demo", n_no=24, n_yes=36)
        once = ("plain", str(demo.images), str(folder / "ws"))
        _run(folder, *once, api=None)
        seconds = {"plain": _run(folder, *once, api=None)}
        seconds["ephemeral"] = _run(folder, "ephemeral", *once[1:], api=None)
        api = f"http://127.0.0.1:{port}/api"
        server = _server(folder, port)
        try:
            _until_healthy(api)
            seconds["server"] = _run(folder, "server", *once[1:], api=api)
        finally:
            server.terminate()
            server.wait(timeout=30)
    for way, taken in seconds.items():
        print(f"{way:10} {taken:6.2f} s   {taken - seconds['plain']:+6.2f} s over plain calls")


def _run(folder: Path, way: str, images: str, workspace: str, *, api: str | None) -> float:
    environment = {
        **os.environ,
        "PREFECT_HOME": str(folder / "client"),
        "LIGHTBOX_CACHE": str(folder / "cache"),
    }
    environment["PREFECT_LOGGING_LEVEL"] = "ERROR"
    environment.pop("PREFECT_API_URL", None)
    if api is not None:
        environment["PREFECT_API_URL"] = api
    done = subprocess.run(
        [sys.executable, "-c", RUN, way, images, workspace],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    seconds, _ = json.loads(done.stdout.splitlines()[-1])
    return float(seconds)


def _server(folder: Path, port: int) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "PREFECT_HOME": str(folder / "server"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    environment.pop("PREFECT_API_URL", None)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _until_healthy(api: str, within_seconds: float = 90) -> None:
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{api}/health", timeout=2).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    sys.exit(f"the Prefect server did not answer within {within_seconds:.0f} s")


if __name__ == "__main__":
    main()
