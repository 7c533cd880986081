"""Whatever goes wrong with one thing that the watchdog looks after, it looks after all others."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from flows import watchdog as module
from flows.watchdog import Watched, watchdog
from tasks.compute.settings import LocalCompute
from tasks.errors import ComputeUnavailable, ConfigError
from tasks.server.upcoming import Ensured, ensure_upcoming_runs

POOLS = [Watched(pool=name, driver=LocalCompute()) for name in ("broken", "forgotten")]


class Server:
    """A Prefect server that fails where it is told to."""

    def __init__(self, fails: str = "") -> None:
        self.fails = fails

    def read_flow_runs(self, **_: Any) -> list[Any]:
        return self._answer("runs", [SimpleNamespace(id=1, name="dead-run", state=None)])

    def read_work_pools(self, **_: Any) -> list[Any]:
        return self._answer("pools", [SimpleNamespace(name="gpu")])

    def _answer(self, what: str, answer: list[Any]) -> list[Any]:
        if self.fails == what:
            raise RuntimeError("500 Internal Server Error for https://host/?token=abc\nand a page of HTML")
        return answer


def looked_after(monkeypatch: pytest.MonkeyPatch, fails: str) -> tuple[list[str], str]:
    """What was done, and what the error says."""
    done: list[str] = []

    @contextmanager
    def client() -> Iterator[Server]:
        yield Server(fails)

    def step(name: str) -> Any:
        def work(*arguments: Any) -> bool:
            target = getattr(arguments[0], "pool", arguments[0] if isinstance(arguments[0], str) else "run")
            if fails == name and target in ("broken", "run"):
                raise RuntimeError("nobody expected this")
            done.append(f"{name} {target}")
            return True

        return work

    def ensure(_: Any) -> Ensured:
        if fails == "schedules":
            raise ConfigError("a schedule that never comes", cure="correct it")
        done.append("schedules")
        return Ensured(1, ("no runs to come of lungs (0 3 30 2 *)",) if fails == "one schedule" else ())

    for name in ("mark_dead", "resume_left_behind", "stop_forgotten"):
        monkeypatch.setattr(module, f"_{name}", step(name))
    monkeypatch.setattr(module, "client", client)
    monkeypatch.setattr(module, "ensure_upcoming_runs", ensure)
    try:
        watchdog.fn(POOLS)
    except ComputeUnavailable as error:
        return done, error.message
    return done, ""


ALL = [
    "mark_dead run",
    *(f"resume_left_behind {pool}" for pool in ("broken", "forgotten", "gpu")),
    "schedules",
    *(f"stop_forgotten {pool}" for pool in ("broken", "forgotten")),
]


def test_everything_is_looked_after(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looked_after(monkeypatch, "") == (ALL, "")


@pytest.mark.parametrize(
    ("fails", "missing", "told"),
    [
        ("runs", {"mark_dead run"}, "unfinished runs: RuntimeError 500 Internal"),
        ("mark_dead", {"mark_dead run"}, "dead-run: RuntimeError nobody expected this"),
        ("pools", {"resume_left_behind gpu"}, "work pools: RuntimeError"),
        ("resume_left_behind", {"resume_left_behind broken"}, "pool broken: RuntimeError"),
        ("schedules", {"schedules"}, "runs to come: a schedule that never comes (correct it)"),
        ("one schedule", set(), "no runs to come of lungs (0 3 30 2 *)"),
        ("stop_forgotten", {"stop_forgotten broken"}, "compute of broken: RuntimeError"),
    ],
)
def test_one_failure_stops_nothing_else_and_is_told(
    fails: str, missing: set[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, message = looked_after(monkeypatch, fails)
    assert done == [step for step in ALL if step not in missing]
    assert told in message
    assert "abc" not in message and "HTML" not in message


def test_one_schedule_that_the_server_refuses_leaves_the_others_their_runs() -> None:
    rows = [
        SimpleNamespace(active=True, schedule=SimpleNamespace(cron=cron))
        for cron in ("0 3 30 2 *", "0 3 1 1 *")
    ]
    deployments = [
        SimpleNamespace(id=UUID(int=place), name=f"set-{place}", paused=False, schedules=[row])
        for place, row in enumerate(rows)
    ]

    class Refusing:
        def read_deployments(self, **_: Any) -> list[Any]:
            return deployments

        def read_flow_runs(self, **_: Any) -> list[Any]:
            return []

        def request(self, *_: Any, path_params: dict[str, UUID], **__: Any) -> None:
            if path_params["id"] == UUID(int=0):
                raise RuntimeError("500 Internal Server Error")

    ensured = ensure_upcoming_runs(Refusing())  # type: ignore[arg-type]
    assert ensured == Ensured(
        0, ("no runs to come of set-0 (0 3 30 2 *): RuntimeError 500 Internal Server Error",)
    )
