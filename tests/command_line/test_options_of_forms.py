"""Every field of every form can be set from the command line, and the form that the flow is given has it."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import pytest
from cyclopts import App

from deployments.endpoint.__main__ import app as serve_app
from deployments.endpoint.settings import ServeSettings
from flows.command_line.app import app
from flows.command_line.retrain import retrain
from flows.command_line.search import search
from flows.config import DataSet, EvaluationSettings, TrainingSettings, WorkspaceLocation
from flows.find_recipe import find_recipe
from flows.retrain import retrain as retrain_flow
from tasks.automl.settings import SearchSettings
from tasks.compute.settings import ComputeSettings
from tasks.data.settings import CatalogueSettings, ImagesSource
from tasks.erasure.settings import ForgetSettings
from tasks.errors import ConfigError
from tasks.evaluation.settings import GateSettings
from tasks.labelling.settings import LabellingSettings
from tasks.options.command import Command
from tasks.options.fields import FieldOption
from tasks.options.hints import forms_in
from tasks.options.marks import Options
from tasks.pruning.settings import PruneSettings
from tasks.record import Frozen
from tasks.tracking.settings import TrackingSettings

NEEDS = {"--images": "x", "--workspace": "w", "--name": "n"}
FORGET = {"--workspace": "w", "--name": "n", "--group": "g", "--by": "b", "--reason": "r"}
SERVE = {"--workspace": "w", "--name": "n"}
MAIN_JOB = (
    *(ImagesSource, WorkspaceLocation, DataSet, CatalogueSettings, TrainingSettings, SearchSettings),
    *(EvaluationSettings, GateSettings, ComputeSettings, TrackingSettings),
)
COMMANDS: dict[type[Frozen], tuple[App, tuple[str, ...], dict[str, str]]] = {
    **dict.fromkeys(MAIN_JOB, (app, ("retrain",), NEEDS)),
    LabellingSettings: (app, ("label", "start"), NEEDS),
    PruneSettings: (app, ("workspace", "prune"), {"--workspace": "w", "--keep": "3"}),
    ForgetSettings: (app, ("workspace", "forget"), FORGET),
    ServeSettings: (serve_app, (), SERVE),
}
"""Each form with a command that takes it, and what that command cannot be without."""

TEXTS = (
    "n2",
    "/run/supervisor.sock",
    "auto",
    "http://127.0.0.1:9000",
    "0" * 8 + "-0000-0000-0000-" + "0" * 12,
    "1" * 64,
    "a.png | b.png",
)
NUMBERS = (2, 3, 7, 1, 0.5, 0.97, 0.4, 64, 0.0005, 2_000)
AZURE = {
    "--azure-subscription-id": "1" + TEXTS[4][1:],
    "--azure-resource-group": "g",
    "--azure-vm-name": "v",
}
DRIVERS = {"supervisor": {"--supervisor-socket": "/x"}, "azure-vm": AZURE}
"""What a driver cannot be without."""


@dataclass(frozen=True)
class Leaf:
    """One field of a form, however deep; below a union, also which of its members has it."""

    form: type[Frozen]
    path: tuple[str, ...]
    annotation: Any
    tag: str | None

    @property
    def id(self) -> str:
        """As in ComputeSettings.driver.program."""
        return ".".join((self.form.__name__, *self.path, *((self.tag,) if self.tag else ())))


def leaves(
    form: type[Frozen], of: type[Frozen], path: tuple[str, ...] = (), tag: str | None = None
) -> Iterator[Leaf]:
    """Walk a form as pydantic has it, without the code that makes options of it."""
    for name, field in of.model_fields.items():
        here, sections = (*path, name), forms_in(field.annotation)
        if not sections:
            yield Leaf(form, here, field.annotation, tag)
        for section in sections:
            kind = section.model_fields["kind"].default if field.discriminator else tag
            yield from leaves(form, section, here, kind)


LEAVES = [leaf for form in COMMANDS for leaf in leaves(form, form)]


def candidates(annotation: Any) -> Iterator[Any]:
    """Values that a field of this type may take, some of them."""
    (hint,) = (
        set(get_args(annotation)) - {type(None)} if type(None) in get_args(annotation) else (annotation,)
    )
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) is tuple:
        items = list(candidates(get_args(hint)[0]))
        yield from [tuple(items[:2]), *((item,) for item in items)]
    elif get_origin(hint) is Literal:
        yield from get_args(hint)
    else:
        yield from {bool: (True, False), Path: (Path("elsewhere"),), str: TEXTS}.get(hint, NUMBERS)


def read(form: type[Frozen], around: Mapping[str, str], typed: Sequence[str] = ()) -> Frozen:
    """The form that a command line makes, parsed as at a terminal."""
    command_line, words, needed = COMMANDS[form]
    others = [item for pair in {**needed, **around}.items() if pair[0] not in typed for item in pair if item]
    tokens = [*words, *others, *typed]
    command, bound, _ = command_line.parse_args(tokens, exit_on_error=False, print_error=False)
    assert isinstance(command, Command)
    (name,) = (name for name, section in command.sections.items() if section.form is form)
    built = command.forms(bound.arguments)[name]
    assert isinstance(built, form)
    return built


@cache
def options_of(form: type[Frozen]) -> tuple[FieldOption, ...]:
    """All options that set a form's fields."""
    command_line, words, needed = COMMANDS[form]
    command, _, _ = command_line.parse_args([*words, *chain(*needed.items())])
    assert isinstance(command, Command)
    (section,) = (section for section in command.sections.values() if section.form is form)
    return section.options


def option_of(leaf: Leaf) -> str:
    """The name of the option that sets a field."""
    path = leaf.path
    if leaf.tag is not None and path[-1] != "kind":
        path = (*path[:-1], leaf.tag, path[-1])
    (name,) = (option.name for option in options_of(leaf.form) if path in (option.path, option.place))
    return name


def around(leaf: Leaf) -> dict[str, str]:
    """What must be said too, for the field to be there and to take another value."""
    if leaf.tag is not None:
        return {"--driver": leaf.tag, **DRIVERS.get(leaf.tag, {})}
    if leaf.path[-1] == "min_labellers":
        return {"--max-labellers": "20"}
    return {"--log": ""} if leaf.path[0] == "log" else {}


def typed(leaf: Leaf, value: Any, folder: Path) -> list[str]:
    """What a person types to set a field to a value."""
    option = option_of(leaf)
    if leaf.path == ("mode",):
        return {"on": ["--search"], "off": ["--no-search"]}.get(value, [])
    if leaf.path == ("instructions",):
        (folder / "instructions.txt").write_text(value, encoding="utf-8")
        return [option, str(folder / "instructions.txt")]
    if isinstance(value, bool):
        return [option if value else option.replace("--", "--no-", 1)]
    items = value if isinstance(value, tuple) else (value,)
    return [option, *("yes" if item is True else "no" if item is False else str(item) for item in items)]


def at(values: Any, path: Sequence[str]) -> Any:
    """What stands at a path."""
    for name in path:
        values = values[name]
    return values


def without(values: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """All values but the one at a path."""
    first, *rest = path
    kept = {name: value for name, value in values.items() if name != first}
    return {**kept, first: without(values[first], rest)} if rest else kept


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.id)
def test_the_form_has_what_was_typed_and_nothing_else_is_changed(leaf: Leaf, tmp_path: Path) -> None:
    before = read(leaf.form, around(leaf)).model_dump()
    for value in candidates(leaf.annotation):
        try:
            after = read(leaf.form, around(leaf), typed(leaf, value, tmp_path)).model_dump()
        except ConfigError:
            continue  # no value for this field
        assert at(after, leaf.path) == value
        if value != at(before, leaf.path) or leaf.path[-1] == "kind":
            assert without(after, leaf.path) == without(before, leaf.path)
            return
    pytest.fail(f"no value but the default was accepted for {leaf.id}")


def test_the_commands_give_their_flows_every_form() -> None:
    for command, flow in ((retrain, retrain_flow), (search, find_recipe)):
        parameters = set(inspect.signature(flow.fn).parameters) - {"force"}
        assert set(command.sections) >= parameters - {"compute"}
    assert "compute" in retrain.sections
    forms = {name: section.form for name, section in retrain.sections.items()}
    hints = get_type_hints(retrain_flow.fn)
    assert forms == {name: hints[name] for name in forms}


def test_no_two_settings_of_a_command_share_an_option() -> None:
    def twice(
        *, images: Annotated[ImagesSource, Options("A")], out: Annotated[ImagesSource, Options("B")]
    ) -> None:
        """Two forms whose fields have one name."""

    with pytest.raises(ValueError, match="two options are called url"):
        Command(twice)
