"""The supervisor driver, against a real supervisord that runs a real Prefect worker."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.watchdog import WatchdogLimits, Watched, watchdog
from tasks.compute.settings import SupervisorCompute
from tasks.compute.supervised_worker import SupervisedWorker
from tasks.errors import ComputeUnavailable, ConfigError
from tasks.server.work_pool import client as prefect_client
from tasks.server.work_pool import online_workers

pytestmark = [pytest.mark.service, pytest.mark.slow]


@pytest.fixture(scope="module")
def socket(prefect_api: str) -> Iterator[str]:
    """The socket of a supervisord with a worker, a program that dies at once and one that ends well."""
    # In /tmp: the path of a unix socket is limited to about 100 characters.
    with tempfile.TemporaryDirectory(prefix="lightbox-supervisor-", dir="/tmp") as name:
        folder = Path(name)
        worker = (
            f"{sys.executable} -m prefect worker start --pool supervised --type process --name supervised-1"
        )
        lines = (
            "[unix_http_server]",
            f"file={folder}/socket",
            "[supervisord]",
            "nodaemon=true",
            f"logfile={folder}/supervisord.log",
            f"pidfile={folder}/pid",
            *(["user=root"] if os.geteuid() == 0 else []),
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
            *_program("worker-gpu", worker, folder),
            *_program("dies", f'{sys.executable} -c "raise SystemExit(3)"', folder),
            *_program("missing", f"{folder}/not-there", folder),
        )
        (folder / "supervisord.conf").write_text("\n".join(lines))
        environment = {**os.environ, "PREFECT_API_URL": prefect_api, "PREFECT_WORKER_QUERY_SECONDS": "1"}
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-c", str(folder / "supervisord.conf")],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            _until(lambda: (folder / "socket").exists() or process.poll() is not None, 20)
            assert process.poll() is None, (folder / "output").read_text()
            yield f"{folder}/socket"
        finally:
            process.terminate()
            process.wait(timeout=60)


def _program(name: str, command: str, folder: Path) -> tuple[str, ...]:
    return (
        f"[program:{name}]",
        f"command={command}",
        "autostart=false",
        "startretries=1",
        "startsecs=1",
        "stopwaitsecs=20",
        "stopasgroup=true",
        "killasgroup=true",
        "redirect_stderr=true",
        f"stdout_logfile={folder}/{name}.log",
    )


def _until(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_supervised_worker_is_woken_once_and_stopped_by_the_watchdog(socket: str, prefect_api: str) -> None:
    settings = SupervisorCompute(socket=socket)
    driver = SupervisedWorker("supervised", settings)
    with temporary_settings({PREFECT_API_URL: prefect_api}), prefect_client() as server:
        server.create_work_pool(WorkPoolCreate(name="supervised", type="process"))
        assert driver.status() == "asleep"
        driver.stop()
        driver.start()
        driver.start()
        assert driver.status() == "starting"
        _until(lambda: driver.status() == "ready", 90)
        assert online_workers("supervised") == ["supervised-1"]
        SupervisedWorker("supervised", settings).start()
        watched = [Watched(pool="supervised", driver=settings)]
        assert watchdog(watched, WatchdogLimits(idle_minutes=0)).stopped == ["supervised"]
        assert driver.status() == "asleep"
        assert watchdog(watched, WatchdogLimits(idle_minutes=0)).stopped == []


def test_a_program_that_does_not_stay_up_is_told_with_its_log(socket: str) -> None:
    driver = SupervisedWorker("supervised", SupervisorCompute(socket=socket, program="dies"))
    driver.start()

    def gave_up() -> bool:
        try:
            driver.start()
        except ComputeUnavailable as error:
            assert "'dies' does not stay up" in error.message
            assert "dies.log" in error.cure
            return True
        return False

    _until(gave_up, 30)


def test_what_supervisord_cannot_do_is_told(socket: str) -> None:
    with pytest.raises(ConfigError, match="has no program 'other'"):
        SupervisedWorker("supervised", SupervisorCompute(socket=socket, program="other")).start()
    with pytest.raises(ComputeUnavailable, match="could not start or stop 'missing'"):
        SupervisedWorker("supervised", SupervisorCompute(socket=socket, program="missing")).start()
    with pytest.raises(ComputeUnavailable, match="does not answer at /nowhere"):
        SupervisedWorker("supervised", SupervisorCompute(socket="/nowhere")).status()
