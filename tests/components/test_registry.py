"""Components are thin: each fits its ports, has the stages' own form, and holds no logic."""

import ast
import inspect
import json
from collections.abc import Iterator
from typing import get_type_hints

import pytest
from pydantic import JsonValue
from support.repository import REPOSITORY

from flows.components import values
from flows.components.registry import COMPONENTS
from flows.config import TrainingSettings
from tasks.images.settings import Preprocessing
from tasks.pipeline.component import Component
from tasks.pipeline.ports import PORTS
from tasks.training.drawn import ImageTransformation, OptimisationChanges, drawn_recipe
from tasks.training.recipes import PRESETS, Optimisation, PresetName, Recipe

MOST_STATEMENTS = 12
"""Of a function of `flows/components`: more is logic that belongs into a room of `tasks`."""

of_component = pytest.mark.parametrize("component", COMPONENTS.values(), ids=lambda one: one.name)


@of_component
def test_what_it_does_fits_its_ports(component: Component) -> None:
    function = component.function()
    parameters = list(inspect.signature(function).parameters.values())
    assert [one.name for one in parameters[:2]] == ["place", "settings"]
    by_name = {one.name: one for one in parameters[2:]}
    assert list(by_name) == [one.name for one in component.inputs]
    hints = get_type_hints(function)
    for port in component.inputs:
        expected = getattr(values, port.type)
        assert hints[port.name] == (expected if port.needed else expected | None)
        assert (by_name[port.name].default is inspect.Parameter.empty) == port.needed
    assert hints["settings"] is object or issubclass(component.settings, hints["settings"])
    expected = getattr(values, component.output) if component.output else type(None)
    assert hints["return"] is expected
    assert hints["settings"] is not object or component.settings.model_fields == {}


@of_component
def test_people_are_told_of_it(component: Component) -> None:
    assert component.words.endswith(".") and component.title
    assert {port.type for port in component.inputs} <= PORTS.keys()
    for port in component.inputs:
        assert port.words
        known = {*component.settings.model_fields, *(one.name for one in component.inputs)}
        assert set(port.replaces) <= known
    for inputs in component.agree.values():
        assert set(inputs) <= {port.name for port in component.inputs}
    assert set(component.elsewhere) <= set(component.settings.model_fields)
    for name, field in component.settings.model_fields.items():
        assert field.description, name
    json.dumps(component.settings.model_json_schema())


def test_every_port_has_a_letter_of_its_own_and_a_component_that_gives_it() -> None:
    assert len({port.letter for port in PORTS.values()}) == len(PORTS)
    assert {component.output for component in COMPONENTS.values()} == {*PORTS, None}


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every function of the adapters."""
    for path in sorted((REPOSITORY / "flows" / "components").glob("*.py")):
        if path.stem not in {"registry", "settings", "values", "data_sets"}:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef):
                    yield f"{path.stem}.{node.name}", node


@pytest.mark.parametrize(
    ("name", "function"), list(functions()), ids=lambda value: str(value) if isinstance(value, str) else ""
)
def test_an_adapter_holds_no_logic(name: str, function: ast.FunctionDef) -> None:
    inside = [node for node in ast.walk(function) if isinstance(node, ast.stmt) and node is not function]
    assert len(inside) <= MOST_STATEMENTS, name
    assert not [node for node in inside if isinstance(node, ast.For | ast.While | ast.Try)], name


@pytest.mark.parametrize("preset", PRESETS)
def test_blocks_with_their_defaults_change_nothing(preset: PresetName) -> None:
    recipe = TrainingSettings(preset=preset).recipe()
    assert drawn_recipe(recipe, None, OptimisationChanges()) == recipe
    assert drawn_recipe(recipe, ImageTransformation(), OptimisationChanges()) == recipe


def test_what_is_drawn_is_trained() -> None:
    transformation = ImageTransformation(size_px=96, fit="squash", random_erasing=0.5, random_affine=None)
    changes = OptimisationChanges(epochs=2, learning_rate=0.01)
    drawn: Recipe = drawn_recipe(PRESETS["standard"], transformation, changes)
    assert drawn.kind == "fine_tune"
    assert drawn.preprocessing == Preprocessing(size_px=96, fit="squash")
    assert drawn.transforms.random_erasing == 0.5 and drawn.transforms.random_affine is None
    preset = PRESETS["standard"]
    assert preset.kind == "fine_tune"
    assert drawn.optimisation == preset.optimisation.model_copy(update={"epochs": 2, "learning_rate": 0.01})
    assert drawn.test_views == preset.test_views
    assert ImageTransformation().preprocessing(240).size_px == 240


def test_what_may_be_otherwise_has_the_bounds_of_the_recipe() -> None:
    changed, own = (form.model_json_schema()["properties"] for form in (OptimisationChanges, Optimisation))
    for name, field in changed.items():
        bounds: dict[str, JsonValue] = field["anyOf"][0]
        theirs = own[name]["anyOf"][0] if "anyOf" in own[name] else own[name]
        assert bounds == {
            key: theirs[key] for key in theirs if key not in {"default", "description", "title"}
        }
