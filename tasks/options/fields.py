"""A form's fields as options: names, defaults, bounds and help are the form's own, and said nowhere else."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from inspect import Parameter as Argument
from itertools import count
from keyword import iskeyword
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from cyclopts import Group, Parameter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tasks.options.hints import bounds_of, forms_in, hint_of, shown, tag_of
from tasks.options.marks import As, Options
from tasks.record import Frozen

_ANNOTATED: Any = Annotated  # of hints that are made here
_groups = count(1)

GENERAL: Final = Group("General", sort_key=1_000)
"""Heading, below all others, of what concerns the command and no form."""


def _same(given: Any) -> Any:
    return given


@dataclass(frozen=True)
class Need:
    """What must be said for an option to have a meaning: a switch that is on, or a kind that is chosen."""

    switch: "FieldOption"
    value: Any

    @property
    def words(self) -> str:
        """As a person types it."""
        return self.switch.name if self.value is True else f"{self.switch.name} {self.value}"


@dataclass(frozen=True, eq=False)
class FieldOption:
    """One field as an option.

    Attributes:
        path: Of the field, as pydantic names it in an error: with the tag of a discriminated union's member.
        place: Of the field in the form's values.
        name: With dashes, as in `--folds`.
        hint: Type that cyclopts reads.
        default: What stands where the option is not given.
        differs: Whether the form itself, left alone, would take another value than the default.
        parameter: Everything else that cyclopts shows or asks.
        read: From what cyclopts read to what the form takes.
        need: What else must be said.

    In the signature its default is None: what is not given is the form's matter.
    """

    path: tuple[str, ...]
    place: tuple[str, ...]
    name: str
    hint: Any
    default: Any
    differs: bool
    parameter: Parameter
    read: Callable[[Any], Any]
    need: Need | None

    @property
    def argument(self) -> Argument:
        """As a keyword of the command's signature."""
        name = self.name.removeprefix("--").replace("-", "_")
        name += "_" if iskeyword(name) else ""
        if self.parameter.required:
            return Argument(name, Argument.KEYWORD_ONLY, annotation=_ANNOTATED[self.hint, self.parameter])
        hint = _ANNOTATED[self.hint | None, self.parameter]
        return Argument(name, Argument.KEYWORD_ONLY, default=None, annotation=hint)


def options_of(
    form: type[Frozen], marks: Options, default: Frozen | None = None, *, optional: bool = False
) -> tuple[FieldOption, ...]:
    """All options of a form, in the order of its fields; defaults are those of `default`, else the form's own.

    Of an optional form no option has to be given.
    """
    return tuple(_section(form, default, _Way(marks, marks.title, optional=optional)))


@dataclass(frozen=True)
class _Way:
    """Where in a form the walk stands."""

    marks: Options
    title: str
    path: tuple[str, ...] = ()
    place: tuple[str, ...] = ()
    prefix: str = ""
    need: Need | None = None
    optional: bool = False

    def into(self, name: str, said: As, *, placed: bool = True, need: Need | None = None) -> "_Way":
        """Into a section, or a union's member, which is not placed below its tag."""
        own = name.replace("_", "-") if said.name is None else said.name
        return _Way(
            self.marks,
            said.title or self.title,
            (*self.path, name),
            (*self.place, name) if placed else self.place,
            f"{self.prefix}{own}-" if own else self.prefix,
            need or self.need,
            self.optional,
        )


def _section(form: type[Frozen], default: Frozen | None, way: _Way) -> Iterator[FieldOption]:
    for name, field in form.model_fields.items():
        said = way.marks.of((*way.path, name))
        if said is None:
            continue
        own = field.get_default(call_default_factory=True)
        value = own if default is None else getattr(default, name)
        members = forms_in(field.annotation)
        if not members:
            yield _leaf(name, field, said, value, own, way)
        elif field.discriminator is not None:
            yield from _union(name, str(field.discriminator), members, said, value, way)
        else:
            yield from _nested(name, field, members[0], said, value, way)


def _nested(
    name: str, field: FieldInfo, form: type[Frozen], said: As, value: Any, way: _Way
) -> Iterator[FieldOption]:
    """A section: the file that it may be read from, or whether there is one at all, and its fields."""
    below = way.into(name, said)
    if said.file is not None:
        yield _option(name, said, Path, None, field.description, way, read=said.file)
    elif type(None) in get_args(field.annotation):
        switch = _option(name, said, bool, value is not None, field.description, way, read=_presence)
        yield switch
        below = way.into(name, said, need=Need(switch, value=True))
    yield from _section(form, value if isinstance(value, Frozen) else None, below)


def _union(
    name: str, discriminator: str, members: tuple[type[Frozen], ...], said: As, value: Any, way: _Way
) -> Iterator[FieldOption]:
    """A union of sections: which of them, and the fields of each."""
    by_kind = {tag_of(member, discriminator): member for member in members}
    words = "; ".join(
        f"{kind}: {member.model_fields[discriminator].description}" for kind, member in by_kind.items()
    )
    inside = way.into(name, As("" if said.name is None else said.name, said.title))
    switch = _option(
        name,
        said,
        Literal[tuple(by_kind)],
        getattr(value, discriminator),
        words,
        way,
        place=(*way.place, name, discriminator),
    )
    yield switch
    for kind, member in by_kind.items():
        of_kind = way.marks.of((*inside.path, kind))
        if of_kind is not None:
            below = inside.into(kind, of_kind, placed=False, need=Need(switch, kind))
            own = value if isinstance(value, member) else None
            fields = (option for option in _section(member, own, below) if option.path[-1] != discriminator)
            yield from fields


def _leaf(name: str, field: FieldInfo, said: As, value: Any, own: Any, way: _Way) -> FieldOption:
    if said.file is not None:
        return _option(name, said, Path, None, field.description, way, read=said.file)
    differs = value != own
    if said.flag is not None:
        read = partial(_switched, said.flag)
        return _option(name, said, bool, value, field.description, way, read=read, differs=differs)
    help_ = " ".join(filter(None, (field.description, bounds_of(field))))
    return _option(name, said, hint_of(field.annotation), value, help_, way, differs=differs)


def _option(
    name: str,
    said: As,
    hint: Any,
    default: Any,
    help_: str | None,
    way: _Way,
    *,
    differs: bool = False,
    place: tuple[str, ...] | None = None,
    read: Callable[[Any], Any] = _same,
) -> FieldOption:
    option = "--" + way.prefix + (name.replace("_", "-") if said.name is None else said.name)
    required = (
        default is PydanticUndefined and way.need is None and said.fallback is None and not way.optional
    )
    parameter = Parameter(
        name=option,
        help=help_,
        metavar=None if said.file is None else "FILE",
        group=_group(said.title or way.title),
        env_var=said.env_var,
        required=required,
        show_default=said.fallback.words if said.fallback else shown(default),
        consume_multiple=get_origin(hint) is tuple or None,
        negative_iterable=(),
    )
    path, place = (*way.path, name), place or (*way.place, name)
    return FieldOption(path, place, option, hint, default, differs, parameter, read, way.need)


@cache
def _group(title: str) -> Group:
    """Groups stand in the help in the order in which they are first named."""
    return Group(title, sort_key=next(_groups))


def _switched(flag: tuple[Any, Any], given: bool) -> Any:
    return flag[0] if given else flag[1]


def _presence(given: bool) -> Mapping[str, Any] | None:
    return {} if given else None
