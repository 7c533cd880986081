"""A Prefect server as a person at its UI sees it, for the tests of deployments."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from support.services.prefect_server import PrefectServer

from tasks.compute.local_worker import WorkerProcess

ANSWER_SECONDS = 120.0
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass
class Mailbox:
    """What the receiver got: seconds since the epoch, and the message."""

    messages: list[tuple[float, dict[str, str]]] = field(default_factory=list)

    def about(self, run_id: str) -> list[tuple[float, dict[str, str]]]:
        """The messages that link to a run."""
        return [message for message in self.messages if message[1]["text"].endswith(f"/flow-run/{run_id}")]


class Prefect:
    """The server's REST API, as the UI uses it."""

    def __init__(self, server: PrefectServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.workspace = folder / "ws"
        self.cache = folder / "cache"

    def post(self, path: str, **body: Any) -> Any:
        """The answer's JSON."""
        return self._asked("POST", path, body)

    def get(self, path: str) -> Any:
        """The answer's JSON."""
        return self._asked("GET", path, None)

    def _asked(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        """Asked again where SQLite is busy, which the server says with 503 or by taking its time."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                answer = httpx.request(method, f"{self.server.url}{path}", json=body, timeout=20)
            except httpx.ReadTimeout:
                if method != "GET" or time.monotonic() > deadline:
                    raise
                continue
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def delete(self, path: str) -> None:
        """Remove something."""
        self._asked("DELETE", path, None)

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment by its name."""
        (found,) = [row for row in self.post("/deployments/filter") if row["name"] == name]
        return found  # type: ignore[no-any-return]

    def upcoming(self, name: str) -> list[str]:
        """When its scheduled runs are due, in UTC."""
        runs = self.post(
            "/flow_runs/filter",
            flow_runs={
                "deployment_id": {"any_": [self.deployment(name)["id"]]},
                "state": {"type": {"any_": ["SCHEDULED"]}},
            },
            sort="NEXT_SCHEDULED_START_TIME_ASC",
        )
        return [row["next_scheduled_start_time"] for row in runs]

    def submit(self, name: str, **parameters: Any) -> str:
        """Start a run as the UI does; its id."""
        path = f"/deployments/{self.deployment(name)['id']}/create_flow_run"
        run = self.post(path, parameters=parameters, state={"type": "SCHEDULED"})
        return str(run["id"])

    def run(self, run_id: str) -> dict[str, Any]:
        """A flow run."""
        return self.get(f"/flow_runs/{run_id}")  # type: ignore[no-any-return]

    def children(self, run_id: str) -> dict[str, dict[str, Any]]:
        """The runs that it sent to a pool, by name."""
        rows = self.post("/flow_runs/filter", flow_runs={"parent_flow_run_id": {"any_": [run_id]}})
        return {row["name"]: row for row in rows}

    def running_child(self, run_id: str, name: str = "fine-tune small") -> dict[str, Any]:
        """Wait until a child trains."""
        self.until(lambda: self.children(run_id).get(name, {}).get("state_type") == "RUNNING", 150)
        return self.children(run_id)[name]

    def ended(self, run_id: str, within_seconds: float = 200) -> dict[str, Any]:
        """Wait for a run's end."""
        self.until(lambda: self.run(run_id)["state_type"] in FINAL, within_seconds)
        return self.run(run_id)

    def cancel(self, run_id: str) -> None:
        """Cancel as the UI does."""
        self.post(f"/flow_runs/{run_id}/set_state", state={"type": "CANCELLING", "name": "Cancelling"})

    def workers(self, pool: str) -> list[str]:
        """Names of the pool's workers."""
        return [row["name"] for row in self.post(f"/work_pools/{pool}/workers/filter")]

    def local_worker(self) -> WorkerProcess:
        """What the local driver started for the pool gpu."""
        return WorkerProcess.model_validate_json(
            (self.cache / "compute" / "gpu" / "worker.json").read_bytes()
        )

    @staticmethod
    def until(reached: Callable[[], bool], within_seconds: float) -> float:
        """Wait for something; the seconds that it took."""
        began = time.monotonic()
        while not reached():
            waited = time.monotonic() - began
            assert waited < within_seconds, f"not reached within {within_seconds} s"
            time.sleep(0.3)
        return time.monotonic() - began


def pid_of(run: dict[str, Any]) -> int:
    """Process of a run on a process pool."""
    return int(str(run["infrastructure_pid"]).rsplit(":", 1)[-1])


def is_gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
