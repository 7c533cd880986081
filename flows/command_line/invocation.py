"""How a command is run: with settings that hold, on the Prefect server that is configured or else alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from pydantic import ValidationError

from tasks.errors import ConfigError

if TYPE_CHECKING:
    from prefect import Flow

P = ParamSpec("P")
R = TypeVar("R")


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


def called(flow: "Flow[P, R]", *, needs_run: bool = False) -> Callable[P, R]:
    """The flow itself on the Prefect server that is configured, or where it needs a flow run; else its function."""
    if _server_configured():
        return flow
    return _on_temporary_server(flow) if needs_run else flow.fn


def _on_temporary_server(flow: "Flow[P, R]") -> Callable[P, R]:
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        from tasks.server.temporary_server import temporary_server_closed

        with temporary_server_closed():
            return flow(*args, **kwargs)

    return run


def _server_configured() -> bool:
    """Whether a Prefect server is named; without one its engine would start a temporary server, about 15 s."""
    from prefect.settings import get_current_settings

    return get_current_settings().api.url is not None
