"""What cyclopts is told of a field: the type that it reads, the bounds and the default that it shows."""

from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tasks.record import Frozen

MOST_CHOICES: Final = 8
"""Longer lists are not shown in the help; the form refuses what is none of them, and names all."""

_TUPLE: Any = tuple  # of an item that is found here


def forms_in(annotation: Any) -> tuple[type[Frozen], ...]:
    """The forms that an annotation is, or is a union of."""
    members = get_args(annotation) if get_origin(annotation) in {Union, UnionType} else (annotation,)
    return tuple(member for member in members if isinstance(member, type) and issubclass(member, Frozen))


def tag_of(member: type[Frozen], discriminator: str) -> str:
    """The one value of the field that tells a union's members apart."""
    (tag,) = get_args(member.model_fields[discriminator].annotation)
    return str(tag)


def hint_of(annotation: Any) -> Any:
    """What cyclopts is to read, of a value that is given. Text, for the form to judge, where its list would be long."""
    if get_origin(annotation) in {Union, UnionType}:
        (annotation,) = (member for member in get_args(annotation) if member is not type(None))
        return hint_of(annotation)
    if get_origin(annotation) is Annotated:
        return hint_of(get_args(annotation)[0])
    if get_origin(annotation) is tuple:
        item = get_args(annotation)[0]
        return _TUPLE[str if item is bool else hint_of(item), ...]  # cyclopts knows no list of yes and no
    if get_origin(annotation) is Literal and len(get_args(annotation)) > MOST_CHOICES:
        return str
    return annotation


def bounds_of(field: FieldInfo) -> str:
    """Such as `(3 to 20)` or `(above 0, at most 1)`."""
    known = {
        name: f"{getattr(bound, name):,}"
        for bound in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if getattr(bound, name, None) is not None
    }
    if {"ge", "le"} <= known.keys():
        return f"({known['ge']} to {known['le']})"
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    said = ", ".join(f"{words[name]} {bound}" for name, bound in known.items())
    return f"({said})" if said else ""


def shown(default: Any) -> str | bool:
    """A default in the help, as a person would type it; False for none."""
    if default is None or default is PydanticUndefined or default == ():
        return False
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, tuple):
        return " ".join(str(shown(item)) for item in default)
    return str(default)
