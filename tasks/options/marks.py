"""How a form stands in a command's signature: what its options are called, where the form's own words do not do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.record import Frozen


@dataclass(frozen=True)
class Fallback:
    """What a field is where nobody says: from the forms that stand before it in the signature, by parameter."""

    words: str
    value: Callable[[Mapping[str, Frozen | None]], Any]


@dataclass(frozen=True)
class As:
    """How one field becomes an option.

    Attributes:
        name: Its option without the dashes; left out, the field's own name. Of a section also what the options of its
            fields begin with; an empty name lets them begin with nothing.
        title: Heading of a section's options in the help; left out, that of the form.
        flag: The field's values for `--name` and `--no-name`.
        file: Reads the field from the file that the option names; what other options say of its fields counts more.
        env_var: Environment variable that is asked where the option is not given.
        fallback: What a required field is where the option is not given.
    """

    name: str | None = None
    title: str | None = None
    flag: tuple[Any, Any] | None = None
    file: Callable[[Path], Any] | None = None
    env_var: str | None = None
    fallback: Fallback | None = None


@dataclass(frozen=True)
class Options:
    """Marks a form in a command's signature, as in `Annotated[ImagesSource, Options("Images")]`.

    Attributes:
        title: Heading of its options in the help.
        fields: By path, such as `copies.search`: another name, or more; None leaves the field out. A member of a
            discriminated union stands below its tag: `driver.azure-vm.vm_name`.
    """

    title: str
    fields: Mapping[str, str | As | None] = field(default_factory=dict)

    def of(self, path: tuple[str, ...]) -> As | None:
        """How the field at a path becomes an option; None: not at all."""
        said = self.fields.get(".".join(path), As())
        return As(said) if isinstance(said, str) else said

    def but(self, fields: Mapping[str, str | As | None], title: str | None = None) -> "Options":
        """The same with some fields otherwise."""
        return Options(title or self.title, {**self.fields, **fields})
