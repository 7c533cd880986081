"""The pages that people read, taken apart: what they name in code, and where they lead."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from support.repository import REPOSITORY

PAGES: Final = (
    *(REPOSITORY / name for name in ("README.md", "CHANGELOG.md", "infra/README.md", "benchmarks/README.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
)
_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SPAN: Final = re.compile(r"`([^`]+)`")
_LINK: Final = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A block of code: its language, and what it says."""

    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page."""
    return [Block(*found) for found in _FENCE.findall(page.read_text())]


def spans(page: Path) -> list[str]:
    """Every piece of code within a page's sentences and tables, line breaks as blanks."""
    return [" ".join(span.split()) for span in _SPAN.findall(_FENCE.sub("", page.read_text()))]


def commands(page: Path) -> Iterator[list[str]]:
    """Every line that somebody may type, in words: code within sentences, and the lines of blocks without comments."""
    for span in spans(page):
        yield span.split()
    for block in blocks(page):
        if block.language in {"", "bash"}:
            for line in block.text.replace("\\\n", " ").splitlines():
                words = line.partition(" #")[0].split()
                if words:
                    yield words


def links(page: Path) -> list[str]:
    """Where a page leads to, links to other hosts left out."""
    found = [link or picture for link, picture in _LINK.findall(_FENCE.sub("", page.read_text()))]
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them of headings."""
    titles = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
