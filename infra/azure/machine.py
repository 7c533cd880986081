#!/usr/bin/env python3
"""Makes a machine in Azure ready as it boots: its secrets come from Key Vault, Docker may pull from the registry.

It is the machine's own identity that asks, so that no secret stands in a template, an image or the machine's
custom data. Plain Python, since nothing of Lightbox is on the machine itself.
Settings: LIGHTBOX_CLIENT_ID, LIGHTBOX_VAULT, LIGHTBOX_REGISTRY, LIGHTBOX_SECRETS (names, apart by spaces).
"""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

# https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
METADATA = "http://169.254.169.254"
# https://learn.microsoft.com/azure/container-registry/container-registry-authentication
REGISTRY_USER = "00000000-0000-0000-0000-000000000000"
FOLDER = Path("/etc/lightbox/secrets")
PATIENCE_SECONDS = 1800.0
"""After a new deployment, until the secrets were set and the roles count."""


def asked(
    url: str, form: dict[str, str] | None = None, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """The JSON that an address answers."""
    body = urllib.parse.urlencode(form).encode() if form else None
    request = urllib.request.Request(url, data=body, headers=headers or {})  # noqa: S310 - fixed addresses
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
    return found


def token(resource: str, client_id: str, metadata: str = METADATA) -> str:
    """An access token of the machine's identity."""
    query = urllib.parse.urlencode(
        {"api-version": "2018-02-01", "resource": resource, "client_id": client_id}
    )
    found = asked(f"{metadata}/metadata/identity/oauth2/token?{query}", headers={"Metadata": "true"})
    return str(found["access_token"])


def secrets(vault: str, names: list[str], client_id: str, metadata: str = METADATA) -> dict[str, str]:
    """The values of secrets: https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret."""
    bearer = {"Authorization": f"Bearer {token('https://vault.azure.net', client_id, metadata)}"}
    address = vault.rstrip("/")
    return {
        name: asked(f"{address}/secrets/{name}?api-version=7.4", headers=bearer)["value"] for name in names
    }


def registry_password(registry: str, client_id: str, metadata: str = METADATA, scheme: str = "https") -> str:
    """What `docker login` takes for the machine's identity."""
    form = {
        "grant_type": "access_token",
        "service": registry,
        "access_token": token("https://management.azure.com/", client_id, metadata),
    }
    return str(asked(f"{scheme}://{registry}/oauth2/exchange", form)["refresh_token"])


def write(values: dict[str, str], folder: Path = FOLDER) -> None:
    """One file a secret in a folder closed to others; readable, since containers run under users of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name, value in values.items():
        file = folder / name.replace("-", "_")
        file.write_text(value)
        file.chmod(0o644)


def patiently(work: Callable[[], T], seconds: float = PATIENCE_SECONDS, pause_seconds: float = 15.0) -> T:
    """The result of the work, which is tried again while Azure is not ready."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return work()
        except (urllib.error.URLError, KeyError, OSError) as error:
            if time.monotonic() > deadline:
                raise
            print(f"not ready yet, trying again: {error}", file=sys.stderr)  # noqa: T201 - the journal
            time.sleep(pause_seconds)


def main() -> None:
    """Fetch the secrets and log Docker in."""
    client_id = os.environ["LIGHTBOX_CLIENT_ID"]
    names = os.environ["LIGHTBOX_SECRETS"].split()
    write(patiently(lambda: secrets(os.environ["LIGHTBOX_VAULT"], names, client_id)))
    registry = os.environ["LIGHTBOX_REGISTRY"]
    password = patiently(lambda: registry_password(registry, client_id))
    subprocess.run(
        ["docker", "login", registry, "--username", REGISTRY_USER, "--password-stdin"],
        input=password,
        text=True,
        check=True,
    )


if __name__ == "__main__":
    main()
