"""Prefect's server as one machine runs it: its pages ask no other host, and its writers queue on SQLite."""

import argparse
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from typing import Final

import uvicorn
from prefect.server.database.configurations import AioSqliteConfiguration
from prefect.server.database.dependencies import temporary_database_config
from prefect.settings import get_current_settings
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY: Final = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""The pages bring scripts and styles of their own inline; `'self'` is this server by any of its names. Logos of block
types have addresses on the internet, which are not asked."""


class QueuedWrites(AioSqliteConfiguration):
    """SQLite whose transactions take their turn at the beginning.

    As Prefect has it, one that reads first and writes then fails at once with "database is locked" where another one
    has written in between (prefect/server/database/configurations.py, `setup_sqlite`, says so): a worker's first
    heartbeat is lost by that, and the next one comes half a minute later.
    """

    @asynccontextmanager
    async def begin_transaction(
        self,
        session: AsyncSession,
        with_for_update: bool = False,  # noqa: ARG002 - Prefect's signature
    ) -> AsyncGenerator[AsyncSessionTransaction, None]:
        """Begin as one that will write."""
        async with super().begin_transaction(session, with_for_update=True) as transaction:
            yield transaction


class OwnHostOnly:
    """ASGI middleware: a browser refuses whatever a page would ask of another host."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["content-security-policy"] = POLICY
            await send(message)

        await self._app(scope, receive, send_with_policy if scope["type"] == "http" else send)


def main(arguments: list[str]) -> None:
    """As `prefect server start` without options does, on this machine only."""
    from prefect.server.api.server import create_app

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args(arguments).port
    url = get_current_settings().server.database.connection_url
    address = url.get_secret_value() if url is not None else ""
    on_sqlite = address.startswith("sqlite")
    with temporary_database_config(QueuedWrites(connection_url=address)) if on_sqlite else nullcontext():
        uvicorn.run(
            OwnHostOnly(create_app(final=True)),
            host="127.0.0.1",
            port=port,
            timeout_keep_alive=5,
            ws_ping_interval=20.0,
            ws_ping_timeout=20.0,
            log_level="warning",
        )


if __name__ == "__main__":
    main(sys.argv[1:])
