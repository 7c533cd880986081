"""What goes around every request: its id, its time, safe headers, and an answer even when the code is wrong."""

import ipaddress
import logging
import time
import traceback
from collections.abc import Collection
from pathlib import Path
from typing import Final
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.endpoint.measures import Measures
from deployments.endpoint.refusal import Refusal, refused

SAFE_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
logger = logging.getLogger("lightbox.endpoint")


class Lifecycle:
    """Whether the endpoint is about to stop: requests are still answered, and each answer ends its connection."""

    def __init__(self) -> None:
        self.draining = False


class Envelope:
    """ASGI middleware around the whole application.

    `loopback_only` refuses requests whose Host is no name of this machine, so that a web page elsewhere cannot
    reach an endpoint without a key through a visitor's browser (DNS rebinding), and what a page of another origin
    sends, one on another port of this machine among them. `paths` are those that the metrics tell apart.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        measures: Measures,
        lifecycle: Lifecycle,
        loopback_only: bool,
        paths: Collection[str],
    ) -> None:
        self._app, self._measures, self._lifecycle = app, measures, lifecycle
        self._loopback_only = loopback_only
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = scope.setdefault("state", {})["request_id"] = uuid4().hex
        status = 0

        async def send_safely(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                for name, value in SAFE_HEADERS.items():
                    headers.setdefault(name, value)
                if self._lifecycle.draining:
                    headers["connection"] = "close"
            await send(message)

        try:
            stranger = _stranger(scope) if self._loopback_only else None
            await (refused(stranger) if stranger else self._app)(scope, receive, send_safely)
        except Exception as error:
            logger.error("request %s failed: %s", request_id, _where(error))
            if status:
                raise
            problem = Refusal(500, "internal", f"the endpoint failed; its log names request {request_id}")
            await refused(problem)(scope, receive, send_safely)
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._measures.requests.labels(path, str(status)).inc()
            self._measures.seconds.labels(path).observe(time.perf_counter() - started)


def _stranger(scope: Scope) -> Refusal | None:
    """Why a request to an endpoint without a key is not this machine's own, if it is not."""
    headers = Headers(scope=scope)
    host = headers.get("host", "")
    if not _names_this_machine(host):
        message = "without a key this endpoint answers this machine only, by 127.0.0.1 or localhost"
        return Refusal(403, "host", message, field="Host")
    if scope["method"] in ("GET", "HEAD"):  # a link may lead here; what is answered, no other origin may read
        return None
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
    if site not in ("same-origin", "none") or origin not in (None, f"http://{host}", f"https://{host}"):
        message = "without a key this endpoint judges nothing that a page of another origin sends"
        return Refusal(403, "origin", message, field="Origin")
    return None


def _names_this_machine(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() and not host.endswith("]") else host
    name = name.removeprefix("[").removesuffix("]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _where(error: Exception) -> str:
    """The error's type and the lines that led there, without its text: that may repeat what was sent."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return (
        type(error).__name__
        + " at "
        + " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
    )
