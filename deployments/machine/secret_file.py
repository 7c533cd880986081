"""The machine's secrets: made once, kept in one file that only this user may read, handed on in the environment."""

import base64
import os
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deployments.endpoint.keys import PRIMARY, SECONDARY
from tasks.errors import ConfigError

SECRETS_FILE: Final = "secrets"
ENVIRONMENT_FILE: Final = "environment"
ACCOUNT: Final = "lightbox"
DATABASE: Final = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
BLOB_KEY: Final = "LIGHTBOX_BLOB_KEY"
PREFECT_LOGIN: Final = "PREFECT_API_AUTH_STRING"
"""`user:password` of the Prefect server: whoever has it may run commands by the workers and read all blocks."""

LABEL_STUDIO: Final = ("LABEL_STUDIO_USERNAME", "LABEL_STUDIO_PASSWORD", "LABEL_STUDIO_USER_TOKEN")

_HEAD = f"""\
# The secrets of this machine, made by `make up`. The endpoint reads its keys again when this file changes; everything
# else needs `make down` and `make up`. For PostgreSQL instead of SQLite add a line
# {DATABASE}=postgresql+asyncpg://user:password@host/database
"""


def read_secrets(folder: Path) -> dict[str, str]:
    """The secrets of a data folder; those that are missing are made.

    Raises: ConfigError when others may read the file.
    """
    file = folder / SECRETS_FILE
    if file.exists() and file.stat().st_mode & 0o077:
        raise ConfigError(f"Others may read {file}.", cure=f"chmod 600 {shlex.quote(str(file))}")
    text = file.read_text(encoding="utf-8") if file.exists() else _HEAD
    known = _parsed(text)
    missing = {name: value for name, value in _fresh().items() if not known.get(name)}
    if missing:
        write_private(file, text + "".join(f"{name}={value}\n" for name, value in missing.items()))
    return known | missing


def write_private(file: Path, text: str) -> None:
    """Write a file whole that only this user may read."""
    temporary = file.with_name(f".{file.name}.new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
        output.write(text)
    temporary.replace(file)


def as_exports(variables: Mapping[str, str]) -> str:
    """Lines for a shell."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def _parsed(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs if name.strip()}


def _fresh() -> dict[str, str]:
    return {
        PRIMARY: secrets.token_urlsafe(32),
        SECONDARY: secrets.token_urlsafe(32),
        PREFECT_LOGIN: f"admin:{secrets.token_urlsafe(32)}",
        BLOB_KEY: base64.b64encode(secrets.token_bytes(64)).decode(),
        "LABEL_STUDIO_USERNAME": "lightbox@example.org",
        "LABEL_STUDIO_PASSWORD": secrets.token_urlsafe(24),
        "LABEL_STUDIO_USER_TOKEN": secrets.token_hex(20),
    }
