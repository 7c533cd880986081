"""docs/architecture.md says how the code is built: its tree, its picture of imports, its rules, its workspace."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from support.pages import blocks
from support.repository import REPOSITORY
from support.services.required_tools import output_of

from tasks.stores.layout import KINDS, place_of

PAGE = REPOSITORY / "docs" / "architecture.md"
CODE = ("deployments", "flows", "tasks")


def section(title: str) -> str:
    """What stands below a heading of the page."""
    return PAGE.read_text().split(f"## {title}\n")[1].split("\n## ")[0]


def folders_named() -> Iterator[PurePosixPath]:
    """Every folder of the page's tree, by its depth."""
    [tree] = [block.text for block in blocks(PAGE) if block.text.startswith("flows/")]
    above: list[str] = []
    for line in tree.splitlines():
        blanks, name = re.match(r"( *)([\w]+)/ +\S", line).groups()  # type: ignore[union-attr]
        above[len(blanks) // 2 :] = [name]
        yield PurePosixPath(*above)


def rooms(folder: str) -> set[str]:
    """Folders with modules directly below one."""
    return {path.parent.name for path in (REPOSITORY / folder).glob("*/*.py")}


def test_the_tree_names_every_folder_and_no_other() -> None:
    named = list(folders_named())
    assert len(named) == len(set(named))
    for folder in named:
        assert (REPOSITORY / folder).is_dir(), folder
    there = {
        PurePosixPath(path.parent.relative_to(REPOSITORY))
        for top in CODE
        for path in (REPOSITORY / top).rglob("*.py")
    }
    infra = {PurePosixPath("infra") / path.name for path in (REPOSITORY / "infra").iterdir() if path.is_dir()}
    assert (there | infra) - set(named) == set()


def test_tests_mirror_the_tree() -> None:
    """Each folder of tests is a room, or a part of the repository that is no room."""
    others = {"docs", "infra", "support", "tasks", "flows", "deployments"}
    known = rooms("tasks") | rooms("flows") | rooms("deployments") | others
    assert {path.parent.name for path in (REPOSITORY / "tests").glob("*/*.py")} - known == set()


def stages() -> list[str]:
    """The files of `tasks` that define a stage."""
    return [
        path.name for path in sorted((REPOSITORY / "tasks").glob("*.py")) if "\n@stage(" in path.read_text()
    ]


def test_every_stage_is_told_of_and_has_a_test_of_its_own() -> None:
    told = section("The stages")
    for name in stages():
        assert f"`tasks/{name}`" in told, name
        assert (REPOSITORY / "tests" / "tasks" / f"test_{name}").is_file(), name


def test_the_picture_is_drawn_from_the_imports_and_no_arrow_leads_up() -> None:
    """The program ends with an error where imports go round in a circle."""
    picture = output_of(sys.executable, "docs/dependency_picture.py", "--print")
    assert picture in PAGE.read_text(), "run `make docs`"
    order = re.findall(r"^    (\w+)\[", picture, re.MULTILINE)
    arrows = re.findall(r"^    (\w+) --> (\w+)$", picture, re.MULTILINE)
    assert len(order) > 20
    assert all(order.index(upper) < order.index(lower) for upper, lower in arrows)


def test_the_import_rules_cover_every_room() -> None:
    settings: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"][
        "importlinter"
    ]
    of_tasks = [one for one in settings["contracts"] if one.get("containers") == ["tasks"]]
    layered = {name for one in of_tasks for layer in one["layers"] for name in re.findall(r"\w+", layer)}
    assert rooms("tasks") - layered == set()
    [subjects] = [
        one for one in settings["contracts"] if one["name"] == "subjects know neither Prefect nor a run"
    ]
    machinery = {"engine", "server", "compute"}
    named = {name.removeprefix("tasks.") for name in subjects["source_modules"]}
    assert rooms("tasks") - machinery - named == set()


def test_the_workspaces_layout_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| ([a-z ]+) \| `([^`]+)` \|", section("The workspace"), re.MULTILINE)
    assert {kind for kind, _ in rows} == set(KINDS) - {"other"}
    for kind, path in rows:
        assert place_of(path).kind == kind, path
