"""One server, one worker of the default pool and one receiver of messages for all tests of deployments."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.settings import PREFECT_API_URL, temporary_settings
from support.runs.main_job import FinishedRun
from support.services.postgres import postgres
from support.services.prefect_server import PrefectServer, free_port
from support.services.prefect_ui import Mailbox, Prefect

from deployments.deploy import deploy
from tasks.demo.data_set import DemoSummary


@pytest.fixture(scope="package")
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    """A real receiver of webhooks on loopback, and its address."""
    box = Mailbox()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            box.messages.append((time.time(), json.loads(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield box, f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="package")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefect]:
    """A server of its own, since it is restarted and its state is looked at as a whole."""
    with postgres(free_port()) as database:
        server = PrefectServer(tmp_path_factory.mktemp("deployments-server"), database)
        try:
            server.start()
            with temporary_settings({PREFECT_API_URL: server.url}):
                yield Prefect(server, tmp_path_factory.mktemp("deployments"))
        finally:
            server.stop()


@pytest.fixture(scope="package")
def data_sets(
    prefect: Prefect,
    small_demo: DemoSummary,
    mailbox: tuple[Mailbox, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with the file of one small data set, and the webhook block that the file names."""
    folder = tmp_path_factory.mktemp("data-sets")
    block = CustomWebhookNotificationBlock(
        name="radiology", url=mailbox[1], json_data={"title": "{{subject}}", "text": "{{body}}"}
    )
    block.save("radiology", overwrite=True)
    lines = (
        'dataset: {name: small, positive_class: "yes"}',
        f"images: {{url: '{small_demo.images}'}}",
        f"workspace: {{url: '{prefect.workspace}'}}",
        "checks: {n_folds: 3}",
        "training: {preset: fast}",
        "gate: {min_recall: 0.999}",
        "compute: {pool: gpu, driver: {kind: local}, ready_within_seconds: 120}",
        "schedule: {cron: '0 3 1 1,7 *', time_zone: Europe/Berlin}",
        "notify: [{kind: webhook, block: radiology}]",
    )
    (folder / "small.yaml").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="package")
def worker(prefect: Prefect, data_sets: Path, finished: FinishedRun) -> Iterator[Prefect]:
    """Everything deployed, a workspace that knows an earlier run, and a worker of the default pool."""
    shutil.copytree(finished.workspace, prefect.workspace)
    deploy(data_sets, dry_run=False, reset_schedules=False)
    environment = {
        **os.environ,
        "PREFECT_API_URL": prefect.server.url,
        "LIGHTBOX_CACHE": str(prefect.cache),
        "OMP_NUM_THREADS": "2",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "default", "--type", "process"]
    with (prefect.folder / "default-worker.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    yield prefect
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=20)
    except (
        subprocess.TimeoutExpired
    ):  # it waits for a run, such as the watchdog's, that nobody needs any more
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=20)
