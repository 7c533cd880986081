"""How a command runs its work and shows what came of it: progress bars, a summary for people, JSON for programs."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from pydantic import BaseModel
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tasks.engine.display import StageEnd, displayed_by
from tasks.work.progress import Progress as ProgressCallable

if TYPE_CHECKING:
    from prefect import Flow

P = ParamSpec("P")
R = TypeVar("R")

STANDARD_OUTPUT = Path("-")
SECONDS_BETWEEN_LINES = 20.0
"""Without a terminal, of a stage that takes long."""


def present(
    work: Callable[[], R],
    show: Callable[[Console, R], None],
    *,
    json_file: Path | None,
    quiet: bool,
    plain: Callable[[R], Any] = lambda result: result,
) -> None:
    """Work below progress bars, then show the summary and write the result, which `plain` makes ready for JSON."""
    console = Console(stderr=True)
    with progress_bars(console, quiet=quiet or json_file == STANDARD_OUTPUT):
        result = work()
    if not quiet:
        show(console, result)
    write_json(plain(result), json_file)


def write_json(result: BaseModel | Any, target: Path | None) -> None:
    """Write a result to a file, or to standard output for `-`."""
    if target is None:
        return
    plain = result.model_dump(mode="json") if isinstance(result, BaseModel) else result
    text = json.dumps(plain, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    if target == STANDARD_OUTPUT:
        sys.stdout.write(text)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


def called(flow: "Flow[P, R]", *, needs_run: bool = False) -> Callable[P, R]:
    """The flow itself on the Prefect server that is configured, or where it needs a flow run; else its function."""
    if _server_configured():
        return flow
    return _on_temporary_server(flow) if needs_run else flow.fn


def _on_temporary_server(flow: "Flow[P, R]") -> Callable[P, R]:
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        from tasks.server.temporary_server import temporary_server_closed

        with temporary_server_closed():
            return flow(*args, **kwargs)

    return run


def _server_configured() -> bool:
    """Whether a Prefect server is named; without one its engine would start a temporary server, about 15 s."""
    from prefect.settings import get_current_settings

    return get_current_settings().api.url is not None


@contextmanager
def progress_bars(console: Console, *, quiet: bool) -> Iterator[None]:
    """While inside, say what each stage found, below it one bar for each that works; nothing when quiet.

    Without a terminal, plain lines.
    """
    if quiet:
        yield
        return
    if not console.is_terminal:
        with displayed_by(PlainProgress(console), partial(_say_end, console)):
            yield
        return
    columns = (
        SpinnerColumn(),
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[figure]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        display = ProgressDisplay(bars)
        with displayed_by(display, display.end):
            yield


def _say_end(console: Console, end: StageEnd) -> None:
    """One line: the stage, its seconds, what it found."""
    taken = "reused" if end.reused else f"{end.seconds:.1f} s"
    console.print(
        f"{end.stage:<20} {taken:>8}  {end.words}".rstrip(), markup=False, highlight=False, soft_wrap=True
    )


class PlainProgress:
    """Makes a progress callable for each stage that says from time to time, in a line, how far it is."""

    def __init__(self, console: Console, now: Callable[[], float] = time.monotonic) -> None:
        self._console, self._now = console, now

    def __call__(self, stage: str) -> ProgressCallable:
        """Lines of `stage`, the first one some time after its beginning."""
        said = self._now()

        def report(done: int, total: int | None, text: str) -> None:
            nonlocal said
            if self._now() - said < SECONDS_BETWEEN_LINES:
                return
            said = self._now()
            figure = f"{done} of {total}" if total else str(done)
            line = f"{stage}: {figure} {text}".rstrip()
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

        return report


class ProgressDisplay:
    """Makes a progress callable for each stage that draws on one set of bars."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._bar_of: dict[str, TaskID] = {}

    def end(self, end: StageEnd) -> None:
        """A line above the bars takes the place of the stage's bar."""
        bar = self._bar_of.pop(end.stage, None)
        if bar is not None:
            self._bars.remove_task(bar)
        _say_end(self._bars.console, end)

    def __call__(self, stage: str) -> ProgressCallable:
        """A bar for `stage`, appearing with its first report."""
        bars = self._bars
        bar = self._bar_of[stage] = bars.add_task(stage, total=None, figure="")

        def report(done: int, total: int | None, text: str) -> None:
            figure = f"{done}/{total} {text}" if total else f"{done} {text}"
            bars.update(bar, completed=done, total=total, figure=figure)

        return report
