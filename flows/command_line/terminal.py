"""What a person at a terminal sees: progress bars on long work, and the summary at the end."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tasks.engine.display import displayed_by
from tasks.work.progress import Progress as ProgressCallable


@contextmanager
def progress_bars(console: Console, *, quiet: bool) -> Iterator[None]:
    """Show one bar a stage while inside; nothing when quiet."""
    if quiet:
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
    with Progress(*columns, console=console, transient=True) as bars, displayed_by(ProgressDisplay(bars)):
        yield


class ProgressDisplay:
    """Makes a progress callable for each stage that draws on one set of bars."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars

    def __call__(self, stage: str) -> ProgressCallable:
        """A bar for `stage`, appearing with its first report."""
        bars = self._bars
        bar = bars.add_task(stage, total=None, figure="")

        def report(done: int, total: int | None, text: str) -> None:
            figure = f"{done}/{total} {text}" if total else f"{done} {text}"
            bars.update(bar, completed=done, total=total, figure=figure)

        return report
