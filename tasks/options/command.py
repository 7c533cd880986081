"""A command written as a function of forms: cyclopts is given the forms' fields, the function is given the forms."""

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, get_args, get_origin

from cyclopts import Parameter

from tasks.options.fields import GENERAL, FieldOption
from tasks.options.marks import Options
from tasks.options.section import Section
from tasks.record import Frozen

DEBUG: Final = inspect.Parameter(
    "debug",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool, Parameter(negative=(), group=GENERAL, help="Show the traceback of an expected failure.")
    ],
)
"""Every command has it; whoever runs the commands looks for it."""


class Command:
    """What cyclopts takes for the function: a signature with an option for each field of each form.

    A parameter `Annotated[ImagesSource, Options("Images")]` is a form. Its default, if it has one, gives the options'
    defaults; a form `| None` with the default None is built only where one of its options is given. Other parameters
    stay as they are.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self._function = function
        self.sections: dict[str, Section] = {}
        plain: list[inspect.Parameter] = []
        options: dict[str, inspect.Parameter] = {}
        for name, parameter in inspect.signature(function).parameters.items():
            section = _section(parameter)
            arguments = [parameter] if section is None else [option.argument for option in section.options]
            for argument in arguments:
                if argument.name in options:
                    raise ValueError(f"{function.__name__}: two options are called {argument.name}")
                options[argument.name] = argument
            if section is None:
                plain.append(parameter)
            else:
                self.sections[name] = section
        self._plain = {parameter.name for parameter in plain}
        options[DEBUG.name] = DEBUG
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        self.__signature__ = inspect.Signature(tuple(options.values()))
        self.__annotations__ = {name: argument.annotation for name, argument in options.items()}

    def __call__(self, *args: Any, **given: Any) -> None:
        """Build the forms and call the function.

        Raises: ConfigError naming an option whose value its form refuses; whatever the function raises.
        """
        plain = {name: value for name, value in given.items() if name in self._plain}
        self._function(*args, **plain, **self.forms(given))

    def forms(self, given: Mapping[str, Any]) -> dict[str, Frozen | None]:
        """The forms by parameter, from the arguments that cyclopts read.

        Raises: ConfigError naming an option whose value its form refuses.
        """
        forms: dict[str, Frozen | None] = {}
        for name, section in self.sections.items():
            said: dict[FieldOption, Any] = {
                option: given[option.argument.name]
                for option in section.options
                if option.argument.name in given
            }
            forms[name] = section.build(said, forms)
        return forms


def _section(parameter: inspect.Parameter) -> Section | None:
    """The form that a parameter is, if it is marked as one."""
    if get_origin(parameter.annotation) is not Annotated:
        return None
    hint, *marks = get_args(parameter.annotation)
    options = next((mark for mark in marks if isinstance(mark, Options)), None)
    if options is None:
        return None
    default = parameter.default if isinstance(parameter.default, Frozen) else None
    return Section.of(hint, options, default)
