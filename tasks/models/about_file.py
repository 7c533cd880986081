"""What a data set is about, read from a YAML file of its own."""

from pathlib import Path

import yaml
from pydantic import ValidationError

from tasks.errors import ConfigError
from tasks.models.about import AboutDataSet


def read_about(path: Path) -> AboutDataSet:
    """Read it from a file that holds its fields.

    Raises: ConfigError where the file cannot be read, or says something that is not asked for.
    """
    known = f"write any of {', '.join(AboutDataSet.model_fields)}, each with a text"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", cure="name a readable YAML file") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} says nothing of the data set", cure=known)
    try:
        return AboutDataSet.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(f"{path}: {field}: {first['msg']}", cure=known) from error
