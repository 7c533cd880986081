"""How a command is run: with settings that hold, on the Prefect server that is configured or else alone."""

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from tasks.errors import ConfigError


@contextmanager
def validated() -> Iterator[None]:
    """Turn a setting out of bounds into an error that names it.

    Raises: ConfigError.
    """
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the settings"
        raise ConfigError(f"{field}: {first['msg']} (got {first['input']!r})", cure="see --help") from error


def server_configured() -> bool:
    """Whether a Prefect server is named; without one its engine would start a temporary server, about 15 s."""
    from prefect.settings import get_current_settings

    return get_current_settings().api.url is not None
