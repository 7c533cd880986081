"""What a component's form says of settings, as places, words and cures for people."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import ErrorDetails

from tasks.options.hints import bounds_of, forms_in, tag_of
from tasks.pipeline.component import TELLS_APART, Component
from tasks.record import Frozen

PASSES: Final = ("function-after", "function-before", "function-wrap")
"""Beginnings of pydantic's own words in the place of an error."""


def refused_settings(
    component: Component, settings: Mapping[str, JsonValue]
) -> Iterator[tuple[str, str, str]]:
    """Place, what is wrong and cure, of each setting that the form refuses."""
    for name in settings:
        if name in component.elsewhere:
            yield f"set.{name}", "it is not set here", component.elsewhere[name]
    here = {name: value for name, value in settings.items() if name not in component.elsewhere}
    try:
        component.form(here)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_context=False):
            yield _told(component, problem)


def _told(component: Component, problem: ErrorDetails) -> tuple[str, str, str]:
    path = [str(part) for part in problem["loc"] if not str(part).startswith(PASSES)]
    place = ".".join(["set", *path])
    form, name = _field(component.settings, path)
    fields = form.model_fields if form else {}
    if problem["type"] == "extra_forbidden":
        known = (
            [one for one in fields if one not in component.elsewhere]
            if form is component.settings
            else [*fields]
        )
        near = get_close_matches(name, known, n=1)
        cure = f"did you mean {near[0]}?" if near else f"known here are: {', '.join(known) or 'none'}"
        return place, f"there is no setting {name}", cure
    if problem["type"] == "missing":
        words = fields[name].description if name in fields else None
        return place, "it is needed", f"set it: {words}" if words else "set it"
    if isinstance(problem.get("input"), bool):
        return place, problem["msg"], "in YAML a bare yes, no, on or off is a truth value: put it in quotes"
    return place, problem["msg"].removeprefix("Value error, "), _allowed(form, name)


def _field(form: type[BaseModel], path: list[str]) -> tuple[type[BaseModel] | None, str]:
    """The form in which the last named field of a path stands, and its name; tags of unions name no field."""
    here: type[BaseModel] = form
    members: tuple[type[Frozen], ...] = ()
    for place, part in enumerate(path):
        tagged = [one for one in members if len(members) > 1 and tag_of(one, TELLS_APART) == part]
        if tagged:
            here, members = tagged[0], ()
            continue
        field = here.model_fields.get(part)
        if field is None or place == len(path) - 1:
            break
        members = forms_in(field.annotation)
        if not members:
            return None, part
        here = members[0]
    return here, path[-1] if path else ""


def _allowed(form: type[BaseModel] | None, name: str) -> str:
    field = form.model_fields.get(name) if form else None
    if field is None:
        return "correct it, or leave it out"
    default: Any = None if field.is_required() else field.get_default(call_default_factory=True)
    plain = default is not None and not isinstance(default, BaseModel)
    bounds = bounds_of(field)
    return (f"choose one {bounds}, or leave it out" if bounds else "correct it, or leave it out") + (
        f" for {default}" if plain else ""
    )
