"""Where progress, and what stages found, go: the terminal, the Prefect UI, or nowhere."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from tasks.work.progress import Progress, silent

Display = Callable[[str], Progress]
"""Given a stage's name, says where its progress goes."""


@dataclass(frozen=True)
class StageEnd:
    """A stage has ended: its seconds now, whether an earlier result was taken, and what it found in one line."""

    stage: str
    seconds: float
    reused: bool
    words: str


Ended = Callable[[StageEnd], None]
"""Told of every stage that has ended."""


def _nowhere(stage: str) -> Progress:  # noqa: ARG001 - the signature is the seam's
    return silent


def _unheard(end: StageEnd) -> None:
    """Nobody watches."""


_display: ContextVar[Display] = ContextVar("lightbox_display", default=_nowhere)
_ended: ContextVar[Ended] = ContextVar("lightbox_ended", default=_unheard)


@contextmanager
def displayed_by(display: Display, ended: Ended = _unheard) -> Iterator[None]:
    """Send the progress of stages run inside to `display`, and what they found to `ended`."""
    tokens = _display.set(display), _ended.set(ended)
    try:
        yield
    finally:
        _display.reset(tokens[0])
        _ended.reset(tokens[1])


def tell_end(end: StageEnd) -> None:
    """Tell who watches that a stage has ended."""
    _ended.get()(end)


def progress_of(stage: str, *, in_prefect: bool) -> Progress:
    """The progress callable of a stage: terminal always, Prefect's artifact where a task run is active."""
    terminal = _display.get()(stage)
    if not in_prefect:
        return terminal
    artifact = PrefectProgress(stage)

    def both(done: int, total: int | None, text: str) -> None:
        terminal(done, total, text)
        artifact(done, total, text)

    return both


class PrefectProgress:
    """One progress artifact a stage, updated at most every two seconds (an update costs about 15 ms)."""

    MIN_SECONDS = 2.0

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._artifact: object | None = None
        self._last = time.monotonic()

    def __call__(self, done: int, total: int | None, text: str) -> None:
        """Report unless the last report is too fresh; the end is always reported once begun."""
        if not total:
            return
        now = time.monotonic()
        finished = done >= total
        if now - self._last < self.MIN_SECONDS and not (finished and self._artifact):
            return
        self._last = now
        self._report(100.0 * done / total, f"{self._stage}: {done} of {total} {text}".rstrip())

    def _report(self, percent: float, description: str) -> None:
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        if self._artifact is None:
            key = "progress-" + re.sub(r"[^a-z0-9]+", "-", self._stage.lower()).strip("-")
            self._artifact = create_progress_artifact(percent, key=key, description=description)
        else:
            update_progress_artifact(self._artifact, percent, description=description)  # type: ignore[arg-type]
