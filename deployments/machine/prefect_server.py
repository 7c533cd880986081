"""Prefect's server, whose pages ask no other host: its block types name their logos by addresses on the internet."""

import argparse
import sys
from typing import Final

import uvicorn
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY: Final = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""The pages bring scripts and styles of their own inline; `'self'` is this server by any of its names."""


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
