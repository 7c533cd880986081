"""Every command that people type, with its options."""

from collections.abc import Iterator
from functools import cache

from cyclopts import App

import deployments.__main__
import deployments.endpoint.__main__
from flows.command_line.app import app

Command = tuple[str, ...]
ELSEWHERE: dict[Command, App] = {
    ("serve",): deployments.endpoint.__main__.app,
    ("deploy",): deployments.__main__.app,
}
"""Commands that are programs of their own, with options that `lightbox` hands on unread."""


@cache
def options() -> dict[Command, set[str]]:
    """The options of each command of `lightbox`, with the dashes and with those that say no."""
    return {command: _options_of(ELSEWHERE.get(command, of)) | {"--help"} for command, of in _walk(app)}


def _walk(of: App, before: Command = ()) -> Iterator[tuple[Command, App]]:
    """Every command of a program, with those below it."""
    for name in of:
        if not name.startswith("-"):
            command = (*before, name)
            yield command, of[name]
            yield from _walk(of[name], command)


def _options_of(of: App) -> set[str]:
    if of.default_command is None:
        return set()
    return {name for one in of.assemble_argument_collection() for name in (*one.names, *one.negatives)}
