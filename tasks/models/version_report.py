"""The report of a version: a page that stands beside its bundle, stays as long as the version, and has an address."""

import os
from typing import Final
from urllib.parse import quote

from tasks.errors import RegistryError
from tasks.models.registry import Registry, version_folder
from tasks.stores.workspace import Workspace

ENDPOINT_URL: Final = "LIGHTBOX_ENDPOINT_URL"
"""Variable: where people reach an endpoint, such as http://127.0.0.1:8000."""
ENDPOINT_WORKSPACE: Final = "LIGHTBOX_ENDPOINT_WORKSPACE"
"""Variable: the workspace that it serves; reports of others have no address there."""
REPORT_FILE: Final = "report.html"
PAGE: Final = "/report"


def keep_report(workspace: Workspace, name: str, version: str, page: bytes) -> None:
    """Put the page of the latest judgement beside a version."""
    workspace.write(_path(name, version), page)


def read_report(workspace: Workspace, name: str, version: str) -> tuple[str, bytes]:
    """The version that is meant by a version or alias, and its page.

    Raises:
        RegistryError: no such model or version, or it has no report.
    """
    found = Registry(workspace).resolve(name, version)
    path = _path(name, found)
    if not workspace.exists(path):
        raise RegistryError(
            f"{found} of {name} has no report beside it",
            cure="run lightbox retrain again with the same options, which writes it anew",
        )
    return found, workspace.read(path)


def report_address(workspace: str, name: str, version: str) -> str | None:
    """Where a person opens it; None where no endpoint on this workspace is known."""
    base = os.environ.get(ENDPOINT_URL)
    if not base or os.environ.get(ENDPOINT_WORKSPACE, "").rstrip("/") != workspace.rstrip("/"):
        return None
    return f"{base.rstrip('/')}{PAGE}?name={quote(name)}&version={quote(version)}"


def _path(name: str, version: str) -> str:
    return f"{version_folder(name, version)}/{REPORT_FILE}"
