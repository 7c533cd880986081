"""A form in a command's signature: its options, and the form that their values make."""

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import shorten
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tasks.errors import ConfigError
from tasks.options.fields import FieldOption, options_of
from tasks.options.hints import forms_in
from tasks.options.marks import Options
from tasks.record import Frozen

CURE: Final = "see --help for what each option takes"
MOST_SHOWN: Final = 80
"""Characters of a refused value that a message repeats."""


@dataclass(frozen=True)
class Section:
    """A form in a command's signature."""

    form: type[Frozen]
    marks: Options
    options: tuple[FieldOption, ...]
    optional: bool

    @classmethod
    def of(cls, hint: Any, marks: Options, default: Frozen | None) -> "Section":
        """Of a form, or of one that may be left out."""
        (form,) = forms_in(hint)
        optional = hint is not form
        return cls(form, marks, options_of(form, marks, default, optional=optional), optional)

    def build(self, said: Mapping[FieldOption, Any], before: Mapping[str, Frozen | None]) -> Frozen | None:
        """The form with what was said; None where it may be left out, and was. `before`: the forms of the signature.

        Raises: ConfigError naming the option whose value the form refuses.
        """
        if self.optional and not said:
            return None
        for option in said:
            _require_meaning(option, said)
        try:
            return self.form.model_validate(self._values(said, before))
        except ValidationError as error:
            raise self._refused(error.errors()[0], said) from error

    def _values(self, said: Mapping[FieldOption, Any], before: Mapping[str, Frozen | None]) -> dict[str, Any]:
        """What was said, over what stands in files, over the defaults that are not the form's own."""
        values: dict[str, Any] = {}
        switches = {option.need.switch for option in said if option.need is not None}
        for option in self.options:
            mark = self.marks.of(option.path)
            if mark is not None and mark.fallback is not None and option not in said:
                _put(values, option.place, mark.fallback.value(before))
            elif option in switches:
                _put(values, option.place, option.read(option.default))
            elif option.differs and _has_meaning(option, said):
                _put(values, option.place, option.default)
        for option, value in said.items():
            _put(values, option.place, option.read(value))
        return values

    def _refused(self, problem: ErrorDetails, said: Mapping[FieldOption, Any]) -> ConfigError:
        """Names the option, or the options that were given of a section whose values do not go together."""
        path = tuple(part for part in problem["loc"] if isinstance(part, str))
        below = [option for option in self.options if option.path[: len(path)] == path]
        named = below if len(below) == 1 else [option for option in below if option in said]
        who = ", ".join(option.name for option in named) or self.marks.title
        if problem["type"] == "value_error":  # the form's own rule names the values that may be shown
            return ConfigError(f"{who}: {problem['ctx']['error']}", cure=CURE)
        if problem["type"] == "missing":
            return ConfigError(f"{who} is needed", cure=CURE)
        if problem["type"] == "string_pattern_mismatch":  # an address may hold a password
            return ConfigError(f"{who}: {problem['msg']}", cure=CURE)
        given = shorten(repr(problem["input"]), MOST_SHOWN)
        return ConfigError(f"{who}: {problem['msg']} (got {given})", cure=CURE)


def _has_meaning(option: FieldOption, said: Mapping[FieldOption, Any]) -> bool:
    need = option.need
    return need is None or said.get(need.switch, need.switch.default) == need.value


def _require_meaning(option: FieldOption, said: Mapping[FieldOption, Any]) -> None:
    if option.need is not None and not _has_meaning(option, said):
        needed = option.need.words
        raise ConfigError(
            f"{option.name} has no meaning without {needed}", cure=f"add {needed}, or leave {option.name} out"
        )


def _put(values: dict[str, Any], place: tuple[str, ...], value: Any) -> None:
    """Set a value at its place; a section is laid over what stands there."""
    *sections, name = place
    for section in sections:
        values = values.setdefault(section, {})
    if isinstance(value, Frozen):
        for field, item in value.model_dump(exclude_unset=True).items():
            _put(values.setdefault(name, {}), (field,), item)
    else:
        values[name] = value
