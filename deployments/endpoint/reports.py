"""Reports for people: the page of any version of the workspace, for those who show a key."""

import asyncio
import re
from typing import Final

from starlette.responses import Response

from deployments.endpoint.refusal import Refusal
from tasks.errors import LightboxError, RegistryError
from tasks.models.version_report import PAGE, read_report
from tasks.stores.workspace import Workspace

CONTENT: Final = f"{PAGE}.html"
"""Where the page's script gets a report, with the key."""

FRAME_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Of the page around a report: what it shows inherits this, and a report brings its own style. No script of a report
runs: its frame is a sandbox."""

_VERSION: Final = re.compile(r"champion|challenger|v[1-9][0-9]{0,8}")


class Reports:
    """The reports of a workspace; `name` is the model that is meant where a request names none."""

    def __init__(self, workspace: str, name: str) -> None:
        self._workspace, self._name = workspace, name

    async def answer(self, name: str | None, version: str | None) -> Response:
        """The report as HTML.

        Raises:
            Refusal: there is none, or the workspace does not answer.
        """
        wanted = version or "champion"
        if not _VERSION.fullmatch(wanted):
            raise Refusal(
                400, "wrong_parameter", "version is v1, v2, ..., champion or challenger", field="version"
            )
        try:
            found, page = await asyncio.to_thread(
                read_report, Workspace(self._workspace), name or self._name, wanted
            )
        except RegistryError as error:
            raise Refusal(404, "no_report", f"{error.message}; {error.cure}") from None
        except LightboxError:
            raise Refusal(
                503, "workspace_away", "the workspace does not answer; try again in a moment"
            ) from None
        headers = {"x-lightbox-model-version": found, "cache-control": "no-store"}
        return Response(page, media_type="text/html; charset=utf-8", headers=headers)
