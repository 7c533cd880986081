"""The pages for people, and their parts; read once, served from memory, nothing from another host."""

import hashlib
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.endpoint.reports import FRAME_POLICY
from tasks.models.version_report import PAGE

_FOLDER: Final = Path(__file__).parent / "static"
_PAGES: Final = {"/": "test.html", "/docs": "docs.html", PAGE: "report.html"}
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def page_routes() -> list[Route]:
    """`/`, `/docs`, `/report` and `/static/...`."""
    parts = {f"/static/{path.name}": path for path in _FOLDER.iterdir() if path.suffix in _TYPES}
    pages = {url: _FOLDER / name for url, name in _PAGES.items()}
    return [_route(url, path) for url, path in (pages | parts).items()]


def _route(url: str, path: Path) -> Route:
    content = path.read_bytes()
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"etag": etag, "cache-control": "no-cache"}
    if url == PAGE:
        headers["content-security-policy"] = FRAME_POLICY

    async def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=_TYPES[path.suffix])

    return Route(url, answer, methods=["GET"])
