"""What a folder is for can be told from its name alone: stages in `tasks/`, flows in `flows/`."""

import ast
from pathlib import Path

import pytest
from support.repository import REPOSITORY

NO_STAGES = {"errors", "record"}
NO_FLOWS = {"config", "dispatch", "ray_cluster", "result"}
"""What several flows share."""


def modules_of(folder: str) -> list[Path]:
    return [path for path in sorted((REPOSITORY / folder).glob("*.py")) if path.stem != "__init__"]


def defines(path: Path, decorator: str) -> bool:
    """Whether a module holds a function that is decorated so, with arguments or without."""
    functions = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    used = [
        item.func if isinstance(item, ast.Call) else item for one in functions for item in one.decorator_list
    ]
    return any(isinstance(name, ast.Name) and name.id == decorator for name in used)


@pytest.mark.parametrize(
    ("folder", "decorator", "others"), [("tasks", "stage", NO_STAGES), ("flows", "flow", NO_FLOWS)]
)
def test_every_module_but_the_named_ones_defines_what_its_folder_is_for(
    folder: str, decorator: str, others: set[str]
) -> None:
    modules = modules_of(folder)
    assert len(modules) > len(others)
    assert {path.stem for path in modules if not defines(path, decorator)} == others
