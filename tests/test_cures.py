"""Every cure that names an option, a setting or a command names one that there is."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import pytest
from support.command_line import options as options_of_commands
from support.repository import REPOSITORY

from deployments.data_set_file import DataSetFile
from deployments.machine.settings import MachineSettings, Ports
from flows.components.registry import COMPONENTS
from tasks.options.hints import forms_in
from tasks.pipeline.document import Document
from tasks.record import Frozen

FORMS: tuple[type[Frozen], ...] = (
    *(DataSetFile, MachineSettings, Document),
    *{component.settings for component in COMPONENTS.values()},
)
"""What a person can fill in: a data set's file, which has the forms of all flows, a machine's, a pipeline."""

OTHER_PROGRAMS = re.compile(r"`(prefect|ray|kubectl|az|pip)\b[^`]*`|python -c '.*'|pip install '.*'")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")
COMMAND = re.compile(r"`lightbox ([a-z]+(?: [a-z]+)?)|\blightbox ([a-z]+(?: [a-z]+)?)")
SETTING = re.compile(r"(?<![\w./<-])[a-z]+(?:_[a-z]+)*\.[a-z]+(?:_[a-z]+)*(?![\w./(])")
FIELD = re.compile(r"(?<![\w./-])[a-z]+(?:_[a-z]+)+(?![\w./(-])")
FILES = re.compile(r"\.(json|yaml|yml|log|conf|py|pth|pt|safetensors|com|js)$")
COLUMNS = {"near_pairs", "file_name", "category_id", "image_id", "stdout_logfile"}
"""Of files that people bring, or write: no settings."""
IN_FILES = {"compute_hours", "label_studio", *Ports.model_fields, *Document.model_fields}
"""Settings of one machine or one pool, and parts of a pipeline, which stand in a file alone."""


@dataclass(frozen=True)
class Cure:
    """What an error advises, with a gap for each value that it fills in."""

    place: str
    text: str


def cures() -> Iterator[Cure]:
    """All texts in the code that are given as `cure=`, or stand in a constant for it."""
    for folder in ("tasks", "flows", "deployments"):
        for file in sorted((REPOSITORY / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                for value in values(node):
                    place = f"{file.relative_to(REPOSITORY)}:{value.lineno}"
                    yield from (Cure(place, text) for text in texts(value))


def values(node: ast.AST) -> Iterator[ast.expr]:
    """Of a keyword `cure`, of a variable `cure`, or of a constant whose name ends in CURE."""
    if isinstance(node, ast.keyword) and node.arg == "cure":
        yield node.value
    elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(target, ast.Name) and target.id.lower().endswith("cure") for target in targets):
            yield node.value


def texts(value: ast.expr) -> Iterator[str]:
    """Each text in an expression, joined where it was written in pieces."""
    if isinstance(value, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in value.values)
        yield "".join(map(str, parts))
    elif isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    else:
        for child in ast.iter_child_nodes(value):
            if isinstance(child, ast.expr):
                yield from texts(child)


@cache
def options() -> set[str]:
    """All options of all commands."""
    return set().union(*options_of_commands().values())


@cache
def settings() -> set[str]:
    """Every field of every form as section.field, and alone."""
    found: set[str] = set()

    def walk(form: type[Frozen], section: str) -> None:
        for name, field in form.model_fields.items():
            found.update((name, f"{section}.{name}"))
            for below in forms_in(field.annotation):
                walk(below, name)

    for form in FORMS:
        walk(form, form.__name__)
    return found


CURES = list(cures())


def test_the_cures_are_found() -> None:
    assert len(CURES) > 150
    assert any("--folds" in cure.text for cure in CURES)
    assert {"--no-near-copies", "--min-agreement", "--port", "--data-sets"} <= options()
    assert {"copies.min_agreement", "space.learning_rate", "stopped_within_seconds"} <= settings()


@pytest.mark.parametrize("cure", CURES, ids=lambda cure: cure.place)
def test_a_cure_can_be_followed(cure: Cure) -> None:
    said = OTHER_PROGRAMS.sub("", cure.text)
    assert set(OPTION.findall(said)) - options() == set()
    dotted = {name for name in SETTING.findall(said) if not FILES.search(name)}
    fields = set(FIELD.findall(said)) - COLUMNS
    assert (dotted | fields) - settings() == set()
    for field in {name.rpartition(".")[2] for name in dotted | fields} - IN_FILES:
        assert f"--{field.replace('_', '-')}" in options() or OPTION.search(said), (
            f"{field}: by which option?"
        )
    for pair in COMMAND.findall(said):
        words = tuple((pair[0] or pair[1]).split())
        assert words[:1] in options_of_commands()
        group = [
            command for command in options_of_commands() if command[:1] == words[:1] and len(command) > 1
        ]
        assert not group or words in group
