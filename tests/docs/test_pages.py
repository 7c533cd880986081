"""What README and docs name exists: commands, options, settings, make targets, files; and nothing goes unsaid."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel
from support.command_line import Command, options
from support.pages import PAGES, blocks, commands, headings, links, spans
from support.repository import REPOSITORY

from deployments.data_set_file import DataSetFile
from tasks.automl.settings import SearchSpace
from tasks.training.recipes import FineTune

of_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))


@pytest.fixture(scope="module")
def source() -> str:
    """Every line that is read by a program, tests left out."""
    folders = ("tasks", "flows", "deployments", "infra", "benchmarks")
    paths = [path for folder in folders for path in (REPOSITORY / folder).rglob("*")]
    kept = [path for path in paths if path.is_file() and "node_modules" not in path.parts]
    texts = [path.read_text(errors="ignore") for path in kept if path.suffix not in {".md", ".pyc"}]
    return "\n".join([*texts, (REPOSITORY / "pyproject.toml").read_text()])


def command_named(words: list[str]) -> tuple[Command, list[str]]:
    """The command that a line begins with, and the words after it."""
    known = max((words[:n] for n in range(3) if tuple(words[:n]) in options()), key=len, default=[])
    return tuple(known), words[len(known) :]


@of_page
def test_every_command_and_option_exists(page: Path) -> None:
    anywhere = set().union(*options().values())
    for program, *words in commands(page):
        if program == "lightbox" and words and words != ["--help"]:
            command, rest = command_named(words)
            group = {known[1] for known in options() if len(known) == 2 and known[:1] == command}
            if group:  # `lightbox models list, show, promote, rollback`
                assert {word.strip(",") for word in rest} <= group, f"lightbox {' '.join(words)}"
                continue
            assert command or words[0] in ("...", "--help"), f"lightbox {' '.join(words)}"
            for word in rest:
                assert not word.startswith("--") or word in options()[command], (
                    f"{word} of lightbox {command}"
                )
        elif program.startswith("--"):
            assert program in anywhere, program
        elif (script := REPOSITORY / "benchmarks" / program.rpartition("/")[2]).suffix == ".py":
            for word in (word for word in words if word.startswith("--")):
                assert f'"{word}"' in script.read_text(), f"{word} of {program}"


def test_every_command_is_told_of() -> None:
    """By name in the table of commands, together with the others of its group or alone."""
    page = (REPOSITORY / "docs" / "commands.md").read_text()
    told = {
        (group, word.strip(","))
        for group, words in re.findall(r"^\| `lightbox (\w+) ([^`]+)` \|", page, re.MULTILINE)
        for word in words.split()
    }
    told |= {(name, None) for name in re.findall(r"^\| `lightbox (\w+)", page, re.MULTILINE)}
    assert {(command[0], command[1] if len(command) > 1 else None) for command in options()} <= told


@of_page
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    for program, *words in commands(page):
        if program == "make" and words:
            assert set(words) <= targets, " ".join([program, *words])


def test_every_make_target_for_people_is_told_of() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    told = {words[1] for page in PAGES for words in commands(page) if words[0] == "make" and len(words) > 1}
    assert targets - told == set()


@of_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in headings(target), link


@of_page
def test_every_file_exists(page: Path) -> None:
    folders = "|".join(("tasks", "flows", "deployments", "infra", "docs", "benchmarks", "tests"))
    for span in spans(page):
        for path in re.findall(rf"(?<![\w/])(?:{folders})/[\w./-]*", span):
            assert (REPOSITORY / path).exists(), path


@of_page
def test_every_variable_and_setting_exists(page: Path, source: str) -> None:
    text = page.read_text()
    for name in set(re.findall(r"\bLIGHTBOX_[A-Z_]+[A-Z]\b", text)):
        assert re.search(rf"\b{name}\b", source) or ("tests/" in text and _in_tests(name)), name
    for span in spans(page):
        if re.fullmatch(r"[a-z]+(_[a-z]+)+", span):
            assert re.search(rf"\b{span}\b", source), span


def _in_tests(name: str) -> bool:
    return any(name in path.read_text() for path in (REPOSITORY / "tests").rglob("*.py"))


@of_page
def test_every_field_of_a_form_exists(page: Path) -> None:
    """Such as `compute.driver`: of a data set's file, or of a recipe."""
    sections = {**DataSetFile.model_fields, **FineTune.model_fields}
    for span in spans(page):
        first, *rest = span.split(".")
        a_file = Path(span).suffix in {".py", ".json", ".yaml", ".env", ".example"}
        if first in sections and rest and not a_file and all(re.fullmatch(r"[a-z_]+", word) for word in rest):
            assert _fields(span.split("."), DataSetFile) or _fields(span.split("."), FineTune), span


def _fields(words: list[str], form: type[BaseModel]) -> bool:
    """Whether these names lead from field to field."""
    if not words:
        return True
    field = form.model_fields.get(words[0])
    if field is None:
        return False
    return len(words) == 1 or any(_fields(words[1:], inner) for inner in _forms(field.annotation))


def _forms(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [form for part in get_args(annotation) for form in _forms(part)]


@of_page
def test_every_yaml_fits_its_form(page: Path) -> None:
    """A block is a search space, or sections of a data set's file."""
    for block in blocks(page):
        if block.language == "yaml":
            said = yaml.safe_load(block.text)
            if said.keys() <= SearchSpace.model_fields.keys():
                SearchSpace.model_validate(said)
            else:
                least = {"dataset": {"name": "x"}, "images": {"url": "x"}, "workspace": {"url": "x"}}
                DataSetFile.model_validate(least | said)


def test_the_readme_leads_to_every_page() -> None:
    reached = {REPOSITORY / "README.md"}
    waiting = list(reached)
    while waiting:
        page = waiting.pop()
        for link in links(page):
            target = (page.parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md" and target not in reached:
                reached.add(target)
                waiting.append(target)
    assert {path.resolve() for path in PAGES} - {path.resolve() for path in reached} == set()
