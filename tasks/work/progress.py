"""How long work tells how far it is: one callable, so that plain code needs neither a terminal nor Prefect."""

from collections.abc import Callable

Progress = Callable[[int, int | None, str], None]
"""Called as `progress(done, total, text)`; `total` is None while unknown, `text` is a unit or a figure."""


def silent(done: int, total: int | None, text: str) -> None:
    """Say nothing."""
