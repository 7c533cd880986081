"""How many requests a second does the endpoint answer, against LitServe, BentoML, and the model alone?

    python benchmarks/endpoint.py --workspace WS --name NAME --images FOLDER [--peers PYTHON]

Every server holds the same bundle and gets the same `/score` requests (JPEG as base64, one image each) from wrk on
this machine, in turns, several rounds; the median round counts. The model alone is a loop on as many threads as
there are cores: in the precision that the endpoint serves, from the bytes of the files and from prepared pixels, and
in float32, which the others compute in. PYTHON is an interpreter that has litserve and bentoml besides numpy, pillow,
onnxruntime, pydantic and fsspec; without it the endpoint alone is measured.
"""

import argparse
import base64
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path

from tasks.models.bundle import Bundle, load_bundle
from tasks.models.inference import available_cpus
from tasks.models.registry import Registry
from tasks.stores.workspace import Workspace

REPOSITORY = Path(__file__).parent.parent
PORT = 8765
KEY = "benchmark-key-0123456789"
CONNECTIONS = 8
LUA = """
bodies = {}
for line in io.lines("%s") do bodies[#bodies + 1] = line end
next_body = 0
request = function()
  next_body = next_body %% #bodies + 1
  return wrk.format("POST", "/score", headers, bodies[next_body])
end
headers = {["Content-Type"] = "application/json", ["Authorization"] = "Bearer %s"}
"""


@dataclass(frozen=True)
class Round:
    """What wrk says of one round: requests a second, latencies in milliseconds, failures."""

    rate: float
    p50: float
    p99: float
    failures: int


def bodies(files: Sequence[Path]) -> list[str]:
    """One `/score` request for each image."""
    rows = [{"image": base64.b64encode(path.read_bytes()).decode(), "id": path.name} for path in files]
    return [json.dumps({"Inputs": {"WebServiceInput0": [row]}, "GlobalParameters": {}}) for row in rows]


@contextmanager
def server(command: Sequence[str], environment: Mapping[str, str], body: str) -> Iterator[None]:
    """A server as a process group of its own, until it has answered one request right."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            cwd=REPOSITORY,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + 120
            while (answer := first_answer(body)) is None:
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise SystemExit(f"{command[0]} does not answer: {log.read().decode()[-2000:]}")
                time.sleep(0.2)
            assert answer["Results"]["WebServiceOutput0"][0]["Scored Labels"]
            yield
        finally:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(timeout=20)


def first_answer(body: str) -> dict[str, dict[str, list[dict[str, object]]]] | None:
    """The answer to one request, or None as long as nothing answers."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}/score", body.encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - this machine
            found: dict[str, dict[str, list[dict[str, object]]]] = json.load(answer)
            return found
    except OSError:
        return None


def load(script: Path, seconds: int) -> Round:
    """One round of wrk."""
    command = [
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{seconds}s",
        "--latency",
        "--timeout",
        "20s",
        "-s",
        str(script),
    ]
    text = subprocess.run(
        [*command, f"http://127.0.0.1:{PORT}"], check=True, capture_output=True, text=True
    ).stdout
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", text)[0])
    failures = sum(int(number) for number in re.findall(r"Non-2xx or 3xx responses: (\d+)", text))
    for errors in re.findall(r"Socket errors: (.*)", text):
        failures += sum(int(number) for number in re.findall(r"\d+", errors))
    return Round(rate, latency(text, "50%"), latency(text, "99%"), failures)


def latency(text: str, share: str) -> float:
    """A percentile that wrk printed, in milliseconds."""
    value, unit = re.findall(rf"\s{share}\s+([\d.]+)(us|ms|s)", text)[0]
    return float(value) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]


def in_a_loop(judge: Callable[[int], object], seconds: int, threads: int) -> float:
    """Calls a second of a function, on several threads."""
    deadline = time.monotonic() + seconds

    def run(first: int) -> int:
        done = 0
        while time.monotonic() < deadline:
            judge(first + done * threads)
            done += 1
        return done

    started = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        total = sum(pool.map(run, range(threads)))
    return total / (time.monotonic() - started)


def main() -> None:
    """Measure, and print a table and the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--images", required=True, type=Path)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()

    files = [
        path for path in sorted(given.images.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg", ".png")
    ]
    files = list(islice(cycle(files[:: max(1, len(files) // 32)]), 32))
    data = [path.read_bytes() for path in files]
    uri = Registry(Workspace(given.workspace)).uri(given.name, "champion")
    cores = available_cpus()
    served = load_bundle(uri, threads=1, precision="accepted")
    prepared = [served.pixels(one)[None] for one in data]

    def from_bytes(bundle: Bundle, index: int) -> None:
        bundle.decide(bundle.predict_pixels(bundle.pixels(data[index % len(data)])[None]))

    loops: dict[str, Callable[[int], object]] = {
        f"{served.precision}, from files": partial(from_bytes, served),
        f"{served.precision}, from pixels": lambda index: served.predict_pixels(prepared[index % len(data)]),
    }
    if served.precision != "float32":
        loops["float32, from files"] = partial(from_bytes, load_bundle(uri, threads=1))

    peers = Path(__file__).parent / "endpoint_peers"
    shared = {"LIGHTBOX_BUNDLE": uri, "PYTHONPATH": str(REPOSITORY), "LIGHTBOX_PRIMARY_KEY": KEY}
    shared |= {
        "LIGHTBOX_WIDTH": str(cores),
        "PORT": str(PORT),
        "BENTOML_DO_NOT_TRACK": "1",
        "OMP_NUM_THREADS": "1",
    }
    endpoint = [sys.executable, "-m", "deployments.endpoint", "--port", str(PORT), "--name", given.name]
    servers = {"lightbox": [*endpoint, "--workspace", given.workspace]}
    if given.peers:
        servers |= {name: [str(given.peers), str(peers / f"{name}.py")] for name in ("litserve", "bentoml")}

    results: dict[str, list[Round]] = {name: [] for name in servers}
    alone: dict[str, list[float]] = {name: [] for name in loops}
    with tempfile.TemporaryDirectory() as folder:
        script, lines = Path(folder) / "load.lua", Path(folder) / "bodies"
        sent = bodies(files)
        lines.write_text("\n".join(sent))
        script.write_text(LUA % (lines, KEY))
        for _ in range(given.rounds):
            for name, judge in loops.items():
                judge(0)
                alone[name].append(in_a_loop(judge, given.seconds // 2, cores))
            for name, command in servers.items():
                with server(command, shared, sent[0]):
                    load(script, 2)
                    results[name].append(load(script, given.seconds))
    report(results, alone, cores)


def report(results: Mapping[str, Sequence[Round]], alone: Mapping[str, Sequence[float]], cores: int) -> None:
    """A table of medians, then the ratios that matter."""
    print(
        f"{cores} cores, {CONNECTIONS} connections, one image a request; medians of {len(results['lightbox'])} rounds"
    )
    print(f"{'':22} {'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'failed':>7}")
    rates = {name: statistics.median(one.rate for one in rounds) for name, rounds in results.items()}
    for name, rounds in results.items():
        p50, p99 = (statistics.median(getattr(one, part) for one in rounds) for part in ("p50", "p99"))
        print(f"{name:22} {rates[name]:10.1f} {p50:8.1f} {p99:8.1f} {sum(one.failures for one in rounds):7d}")
    for name, values in alone.items():
        print(f"{name:22} {statistics.median(values):10.1f}")
    for name, values in alone.items():
        print(f"lightbox / model in {name}: {rates['lightbox'] / statistics.median(values):.2f}")
    others = [rate for name, rate in rates.items() if name != "lightbox"]
    if others:
        print(f"lightbox / best of the others: {rates['lightbox'] / max(others):.2f}")


if __name__ == "__main__":
    main()
