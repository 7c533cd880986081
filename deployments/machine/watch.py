"""The part that looks after the others: one that hangs is killed and so started again, lost runs are run again."""

import logging
import time
from typing import Final

import httpx

from deployments.machine.health import is_well
from deployments.machine.lost_runs import lost_runs, see_to
from deployments.machine.machine import Machine
from deployments.machine.supervision import Supervisor

LOOK_SECONDS: Final = 10.0
PATIENCE_SECONDS: Final = 120.0
"""So long a part may be unwell: starting takes its time, and a busy machine answers late."""

GONE: Final = {"FATAL", "EXITED"}
logger = logging.getLogger("lightbox.watch")


class Watch:
    """Looks once in a while."""

    def __init__(self, machine: Machine, supervisor: Supervisor) -> None:
        self._machine, self._supervisor = machine, supervisor
        self._well_at: dict[str, float] = {}
        self._missed: frozenset[str] = frozenset()

    def look(self) -> None:
        """Look at every part and at the runs."""
        states = self._supervisor.states()
        now = time.monotonic()
        for part in self._machine.parts:
            state = states[part.name]
            if state.statename in GONE:
                logger.warning("%s is %s: started again", part.name, state.statename.lower())
                self._supervisor.start(part.name)
            # What starts has its time; a worker is only heard while the server is well, which is looked at before it.
            elif (
                state.statename != "RUNNING"
                or is_well(self._machine, part, state)
                or (part.pool is not None and self._well_at.get("prefect") != now)
            ):
                self._well_at[part.name] = now
            elif now - self._well_at.setdefault(part.name, now) > PATIENCE_SECONDS:
                logger.warning("%s has not answered for %.0f s: killed", part.name, PATIENCE_SECONDS)
                self._supervisor.kill(part.name)
                self._well_at[part.name] = now
        self._look_at_runs()

    def _look_at_runs(self) -> None:
        """A run is lost when two looks in a row find no process: a worker may be about to report its end."""
        try:
            lost = lost_runs(self._machine, workers_run=True)
            see_to(self._machine, again := [run for run in lost if run.id in self._missed])
        except httpx.HTTPError:
            self._missed = frozenset()
            return
        for run in again:
            logger.warning("%s (%s) had no process: %s", run.name, run.id, run.outcome)
        self._missed = frozenset(run.id for run in lost)


def watch() -> None:
    """Look until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    machine = Machine.here()
    look = Watch(machine, Supervisor(machine)).look
    while True:
        try:
            look()
        except Exception:
            logger.exception("looking failed")
        time.sleep(LOOK_SECONDS)
