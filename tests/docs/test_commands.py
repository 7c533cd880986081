"""What the pages tell people to type is understood as it stands, once the shell finds the command."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App
from support.command_line import ELSEWHERE
from support.pages import PAGES, blocks
from support.repository import REPOSITORY

from flows.command_line.app import app

FOUND = (". .venv/bin/activate", ". ~/.local/share/lightbox/environment")
"""Lines after one of which the shell finds `lightbox`."""


def typed(page: Path) -> list[tuple[str, str]]:
    """Each whole `lightbox` command of the page's blocks, with what stands above it on the page."""
    found = []
    for block in blocks(page):
        if block.language not in {"bash", "sh"}:
            continue
        for line in block.text.replace("\\\n", " ").splitlines():
            command = line.partition(" #")[0].strip()
            if re.match(r"lightbox \w", command):
                found.append(
                    (command, page.read_text().partition(block.text)[0] + block.text.partition(line)[0])
                )
    return found


COMMANDS = [(page, command, above) for page in PAGES for command, above in typed(page)]


@pytest.mark.parametrize(
    ("page", "command", "above"),
    COMMANDS,
    ids=[f"{page.stem}: {command}"[:60] for page, command, _ in COMMANDS],
)
def test_a_command_is_understood_as_it_is_written(page: Path, command: str, above: str) -> None:
    _, *words = shlex.split(command)
    program: App = ELSEWHERE.get((words[0],), app)
    given: Any = words[1:] if program is not app else words
    program.parse_args(given, exit_on_error=False, print_error=False)


def test_the_first_page_says_how_the_shell_finds_the_command_before_it_is_typed() -> None:
    readme = REPOSITORY / "README.md"
    first = next(above for page, _, above in COMMANDS if page == readme)
    assert FOUND[0] in first


def test_what_is_written_after_make_up_finds_the_command() -> None:
    assert FOUND[1] in (REPOSITORY / "docs" / "one-machine.md").read_text()
