"""What comes in is bounded: requests in hand, bytes buffered, images queued, time to arrive."""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from starlette.requests import ClientDisconnect, Request

from deployments.endpoint.refusal import Refusal
from deployments.endpoint.settings import Limits

_MIB: Final = 1 << 20
_HEARD_OUT: Final = 4
"""A body up to so many times the limit is read to its end and dropped: a client that is cut off while it sends
sees a broken connection, not the reason."""


class Gate:
    """Counts what is in hand; used from the event loop's thread only."""

    def __init__(self, limits: Limits, width: int) -> None:
        self._limits = limits
        self._width = width
        self._requests = 0
        self._bytes = 0
        self._seconds_per_image = 0.05
        self.queued = 0

    @contextmanager
    def request(self) -> Iterator["Buffer"]:
        """Room for one request, given back at the end with what it buffered.

        Raises:
            Refusal: 429, too many requests are in hand.
        """
        if self._requests >= self._limits.max_requests:
            raise self._busy("max_requests", self._limits.max_requests, "requests are in hand")
        self._requests += 1
        buffer = Buffer(self, self._limits)
        try:
            yield buffer
        finally:
            self._requests -= 1
            self._bytes -= buffer.size

    def buffer(self, size: int) -> None:
        """Room for more bytes of a body.

        Raises:
            Refusal: 429, too many bytes are buffered.
        """
        if self._bytes + size > self._limits.max_buffered_mib * _MIB:
            raise self._busy("max_buffered_mib", self._limits.max_buffered_mib, "MiB of requests are in hand")
        self._bytes += size

    def queue(self, images: int) -> None:
        """Room for images in the queue; `left` gives it back, one by one.

        Raises:
            Refusal: 429, the queue is full.
        """
        if self.queued + images > self._limits.max_queue:
            raise self._busy("max_queue", self._limits.max_queue, "images are queued")
        self.queued += images

    def left(self, seconds: float | None) -> None:
        """One image left the queue: judged in so many seconds, or given up (None)."""
        self.queued -= 1
        if seconds is not None:
            self._seconds_per_image += 0.1 * (seconds - self._seconds_per_image)

    def _busy(self, field: str, limit: int, what: str) -> Refusal:
        wait = math.ceil(min(60.0, max(1.0, self.queued * self._seconds_per_image / self._width)))
        message = f"the endpoint is busy: {what}, the limit {field} is {limit}; try again in {wait} s"
        return Refusal(429, "busy", message, limit=limit, headers={"retry-after": str(wait)})


class Buffer:
    """The body of one request, in memory."""

    def __init__(self, gate: Gate, limits: Limits) -> None:
        self._gate = gate
        self._limits = limits
        self.size = 0

    async def read(self, request: Request) -> bytes:
        """The whole body.

        Raises:
            Refusal: 413 larger than allowed, 408 too slow, 415 compressed, 400 broken off, 429 no room for it.
        """
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", ""):
            raise Refusal(415, "content_encoding", "compressed bodies are not read", field="Content-Encoding")
        declared = request.headers.get("content-length", "")
        expected = int(declared) if declared.isdecimal() else 0
        if expected > _HEARD_OUT * self._limit or (expected > self._limit and "expect" in request.headers):
            raise self._too_large(close=True)
        chunks: list[bytes] = []
        received = 0
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                async for chunk in request.stream():
                    received += len(chunk)
                    if received > self._limit:
                        chunks.clear()
                        if received > _HEARD_OUT * self._limit:
                            raise self._too_large(close=True)
                        continue
                    self._gate.buffer(len(chunk))
                    self.size += len(chunk)
                    chunks.append(chunk)
        except TimeoutError:
            seconds = self._limits.body_seconds
            message = f"the body did not arrive within body_seconds={seconds:g}"
            headers = {"connection": "close"}
            raise Refusal(408, "body_too_slow", message, limit=seconds, headers=headers) from None
        except ClientDisconnect:
            raise Refusal(400, "body_broken_off", "the client left before its body was whole") from None
        if received > self._limit:
            raise self._too_large(close=False)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    @property
    def _limit(self) -> int:
        return self._limits.max_body_mib * _MIB

    def _too_large(self, *, close: bool) -> Refusal:
        return Refusal(
            413,
            "body_too_large",
            f"the body is larger than max_body_mib={self._limits.max_body_mib} ({self._limit} bytes)",
            limit=self._limit,
            headers={"connection": "close"} if close else {},
        )
