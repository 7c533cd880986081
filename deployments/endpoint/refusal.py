"""Every refusal of a request as one JSON form: what is wrong, with which field, and the limit it broke."""

from collections.abc import Mapping
from typing import Any

import pydantic_core
from starlette.responses import Response


class Refusal(Exception):
    """A request, or one row of it, that is not served; the text never repeats what an image or a key holds."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        limit: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.field, self.limit, self.headers = field, limit, dict(headers or {})

    def facts(self) -> dict[str, Any]:
        """`code` and `message`, and `field` and `limit` where there is one."""
        facts: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.field is not None:
            facts["field"] = self.field
        if self.limit is not None:
            facts["limit"] = self.limit
        return facts


class JsonResponse(Response):
    """A JSON answer, never cached."""

    media_type = "application/json"

    def __init__(
        self, content: Any, status_code: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(content, status_code, {"cache-control": "no-store", **(headers or {})})

    def render(self, content: Any) -> bytes:
        """Compact JSON."""
        return pydantic_core.to_json(content, inf_nan_mode="null")


def refused(refusal: Refusal) -> JsonResponse:
    """The answer to a request that is refused whole."""
    return JsonResponse({"error": refusal.facts()}, refusal.status, refusal.headers)
