"""The server that Prefect starts by itself where none is configured: closed to other programs and to web pages."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_SERVER_API_AUTH_STRING, temporary_settings


@contextmanager
def temporary_server_closed() -> Iterator[None]:
    """Have a temporary server that is started inside ask for a password, which the runs inside know."""
    login = f"temporary:{secrets.token_urlsafe(32)}"
    with temporary_settings({PREFECT_API_AUTH_STRING: login, PREFECT_SERVER_API_AUTH_STRING: login}):
        yield
