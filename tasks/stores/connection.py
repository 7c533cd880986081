"""From a URL and options to the files behind it. URLs never hold secrets; options do, and stay here."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.errors import AccessDenied, ConfigError
from tasks.stores.failures import describe, safe_cause, secrets_among
from tasks.stores.files import Files, LocalFiles
from tasks.stores.foreign_urls import understood
from tasks.stores.urls import holds_secret

AZURE_SCHEMES = ("az", "abfs", "abfss")
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_AZURE_ACCOUNT_IN_URL = re.compile(r"(?i)^[a-z]+://(?:[^/@]+@)?([a-z0-9]+)\.(?:dfs|blob)\.")
_ACCOUNT_IN_CONNECTION_STRING = re.compile(r"(?i)(?:^|;)\s*AccountName\s*=\s*([^;]+)")
_CREDENTIALS_CURE = {
    **dict.fromkeys(
        AZURE_SCHEMES,
        "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY "
        "or AZURE_STORAGE_SAS_TOKEN; with the account's name alone the machine's own identity is used, "
        "which needs the role Storage Blob Data Reader (Contributor for a workspace)",
    ),
    **dict.fromkeys(("s3", "s3a"), "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"),
    **dict.fromkeys(("gs", "gcs"), "set GOOGLE_APPLICATION_CREDENTIALS, or log in with gcloud"),
    "file": "give this user the right to the folder (chmod, chown, or the mount's options)",
}
_AZURE_CREDENTIALS = (
    ("account_key", "AZURE_STORAGE_ACCOUNT_KEY"),
    ("sas_token", "AZURE_STORAGE_SAS_TOKEN"),
)
_PACKAGE = {"s3": "lightbox[s3]", "s3a": "lightbox[s3]", "gs": "lightbox[gcs]", "gcs": "lightbox[gcs]"}


@dataclass(frozen=True)
class Connection:
    """The files behind a URL.

    `identity` is the URL with the end point that tells two stores of one URL apart; it holds no secret.
    """

    url: str
    scheme: str
    identity: str
    files: Files = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    @property
    def credentials_cure(self) -> str:
        """How one is let in to this kind of store."""
        return _CREDENTIALS_CURE.get(
            self.scheme, f"give the credentials of {self.scheme}:// stores to fsspec"
        )

    def describe(self, error: BaseException) -> str:
        """One line on an error, without secrets."""
        return describe(error, self.secrets)

    def cause(self, error: BaseException) -> BaseException | None:
        """The error to chain from, or None when it holds a secret."""
        return safe_cause(error, self.secrets)


def storage_options(url: str) -> dict[str, Any]:
    """Options for a URL's store, from the environment.

    For Azure: AZURE_STORAGE_CONNECTION_STRING, else AZURE_STORAGE_ACCOUNT_NAME (or the account in the URL)
    with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, else the machine's identity
    (DefaultAzureCredential). An account named in the URL is never given another account's credentials. Other
    stores read their own variables; fsspec's FSSPEC_* variables fill what is left open.
    """
    if _scheme(url) not in AZURE_SCHEMES:
        return {}
    named = _AZURE_ACCOUNT_IN_URL.match(url)
    account_in_url = named.group(1) if named else None
    connection_string = os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "").strip()
    if connection_string:
        owner = _ACCOUNT_IN_CONNECTION_STRING.search(connection_string)
        if (
            account_in_url is None
            or owner is None
            or owner.group(1).strip().lower() == account_in_url.lower()
        ):
            return {"connection_string": connection_string}
    account_in_environment = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
    account = account_in_url or account_in_environment
    if not account:
        return {}
    options: dict[str, Any] = {"account_name": account}
    if account_in_environment in (None, "", account):
        for name, variable in _AZURE_CREDENTIALS:
            if os.environ.get(variable):
                return options | {name: os.environ[variable]}
    return options


def connect(url: str, options: Mapping[str, Any] | None = None) -> Connection:
    """The files behind a URL. Nothing is asked of the store yet.

    Options default to `storage_options(url)`.

    Raises:
        ConfigError: no URL, a URL with credentials in it, an unknown scheme, or one whose package is missing.
        AccessDenied: no account is named, or the credentials are malformed.
    """
    text = str(url).strip()
    if not text:
        raise ConfigError(
            "the URL of a store is empty", cure="give a folder, or a URL such as az://container/prefix"
        )
    scheme = _scheme(text)
    if scheme != "file" and holds_secret(text):
        raise ConfigError(
            f"the URL {text.partition('?')[0]} holds credentials",
            cure=f"take them out of the URL; {_CREDENTIALS_CURE.get(scheme, 'give them as options')}",
        )
    text = understood(text)
    scheme = _scheme(text)
    if scheme == "file":
        root = Path(os.path.abspath(Path(_SCHEME.sub("", text)).expanduser()))  # noqa: PTH100 links stay links
        return Connection(str(root), "file", str(root), LocalFiles(root), ())
    given = dict(storage_options(text) if options is None else options)
    secrets = secrets_among(given)
    filesystem, root_text = _open(text, scheme, given, secrets)
    from tasks.stores.object_files import ObjectFiles

    clean = text.rstrip("/") if not text.endswith("://") else text
    identity = f"{clean} {_endpoint(filesystem)}".strip()
    return Connection(clean, scheme, identity, ObjectFiles(filesystem, root_text), secrets)


def _open(text: str, scheme: str, options: dict[str, Any], secrets: tuple[str, ...]) -> tuple[Any, str]:
    try:
        kind = _filesystem_class(scheme)
        if "::" in text:
            from fsspec.core import url_to_fs

            filesystem, root = url_to_fs(text, **options)
            return filesystem, str(root)
        return kind(**{**kind._get_kwargs_from_urls(text), **options}), str(kind._strip_protocol(text))
    except ImportError as error:
        raise ConfigError(
            f"{scheme}:// stores need a package that is not installed ({describe(error)})",
            cure=f"pip install '{_PACKAGE.get(scheme, 'the fsspec package for ' + scheme)}'",
        ) from error
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001 each library complains of settings in its own way
        raise AccessDenied(
            f"{text}: the connection settings cannot be used ({describe(error, secrets)})",
            cure=_CREDENTIALS_CURE.get(scheme, "check the options of the store"),
        ) from safe_cause(error, secrets)


def _filesystem_class(scheme: str) -> Any:
    if scheme in AZURE_SCHEMES:
        from tasks.stores.azure_blobs import BlobFileSystem

        return BlobFileSystem
    import fsspec

    try:
        return fsspec.get_filesystem_class(scheme)
    except ValueError as error:
        raise ConfigError(
            f"unknown kind of store {scheme}://",
            cure="use a folder, az://, abfs://, s3://, gs:// or another scheme that fsspec knows",
        ) from error


def _scheme(url: str) -> str:
    match = _SCHEME.match(url)
    scheme = match.group(1).lower() if match else "file"
    return "file" if scheme == "local" else scheme


def _endpoint(filesystem: Any) -> str:
    client = getattr(filesystem, "service_client", None)
    if client is not None:
        return f"{client.scheme}://{client.primary_hostname}"
    return str(getattr(filesystem, "endpoint_url", None) or "")
