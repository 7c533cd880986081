"""What one machine runs, and on which ports: one YAML file in the data folder, written with its defaults at first."""

import os
from pathlib import Path
from typing import Final, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from tasks.demo.settings import N_NO, N_YES
from tasks.errors import ConfigError
from tasks.models.manifest import ModelName
from tasks.record import Frozen

HOME: Final = "LIGHTBOX_HOME"
SETTINGS_FILE: Final = "settings.yaml"
MAX_SOCKET_PATH: Final = 100
"""Characters that the path of a unix socket may have on every system."""


class Ports(Frozen):
    """Where the parts listen, on this machine only."""

    prefect: int = Field(default=4200, ge=1024, le=65_535, description="Prefect's API and UI.")
    azurite: int = Field(default=10000, ge=1024, le=65_535, description="The blob store.")
    endpoint: int = Field(default=8000, ge=1024, le=65_535, description="Predictions.")
    label_studio: int = Field(default=8080, ge=1024, le=65_535, description="Label Studio, where it runs.")

    @model_validator(mode="after")
    def _all_differ(self) -> Self:
        if len(set(self.model_dump().values())) < len(type(self).model_fields):
            raise ValueError("two parts share a port")
        return self


class Demo(Frozen):
    """How many demo images are made."""

    without_lesion: int = Field(default=N_NO, ge=12, le=10_000, description="Images in the class no.")
    with_lesion: int = Field(default=N_YES, ge=12, le=10_000, description="Images in the class yes.")


class MachineSettings(Frozen):
    """Everything that may be set."""

    ports: Ports = Field(default=Ports(), description="Where the parts listen, on this machine only.")
    model: ModelName = Field(default="demo", description="The model whose champion the endpoint serves.")
    demo: Demo | None = Field(
        default=Demo(), description="Demo images and a data set `demo` to try it with; null: none."
    )
    label_studio: bool = Field(
        default=False, description="Whether Label Studio runs too; it is installed then, 1 GB."
    )


def data_folder() -> Path:
    """$LIGHTBOX_HOME, or ~/.local/share/lightbox.

    Raises: ConfigError when the path is too long for a socket in it.
    """
    given = os.environ.get(HOME)
    folder = Path(given).expanduser().absolute() if given else Path.home() / ".local" / "share" / "lightbox"
    if len(str(folder / "supervisor.sock")) > MAX_SOCKET_PATH:
        raise ConfigError(
            f"{folder} is too long a path for the supervisor's socket in it.",
            cure=f"set {HOME} to a folder with a path below {MAX_SOCKET_PATH - 20} characters",
        )
    return folder


def read_settings(folder: Path) -> MachineSettings:
    """The settings of a data folder; its file is written with all defaults where there is none.

    Raises: ConfigError naming the field that is wrong.
    """
    file = folder / SETTINGS_FILE
    if not file.exists():
        file.write_text(_with_comments(MachineSettings()), encoding="utf-8")
    try:
        return MachineSettings.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file} cannot be read: {error}", cure="correct the file's YAML") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(f"{file}: {field}: {first['msg']}", cure="correct the field") from error


def _with_comments(settings: Frozen, indent: str = "") -> str:
    lines = []
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        said = f"{indent}{name}:"
        if isinstance(value, Frozen):
            lines += [f"{said} # {field.description}", _with_comments(value, indent + "  ").rstrip()]
        else:
            lines.append(f"{said} {yaml.safe_dump(value).split()[0]} # {field.description}")
    return "\n".join(lines) + "\n"
