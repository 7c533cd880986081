"""Addresses of stores as portals, consoles and other programs show them: understood where that is safe."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import parse_qs, unquote, urlsplit

from tasks.errors import ConfigError

_QUOTES: Final = (('"', '"'), ("'", "'"), ("<", ">"), ("\u201c", "\u201d"))
_SCHEME: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):")
_DRIVE: Final = re.compile(r"^(?:file:/+)?(?:\\\\\?\\)?([A-Za-z]):[\\/](.*)", re.DOTALL)
_SHARE: Final = re.compile(r"^(?:file:)?(?:\\\\|//(?=[^/]+\\))|^file://(?!/|localhost/|[~.])[^/]+/")
_BLOB_HOST: Final = re.compile(
    r"([a-z0-9]+)\.(?:blob|dfs)\.(core\.(?:windows\.net|chinacloudapi\.cn|usgovcloudapi\.net))"
)
_S3_HOST: Final = re.compile(r"(?:(.+)\.)?s3(?:[.-](?:dualstack\.)?[a-z0-9-]+)?\.amazonaws\.com")
_GS_HOSTS: Final = ("storage.googleapis.com", "storage.cloud.google.com")
_PAGES: Final = re.compile(
    r"(?:.*\.)?(?:sharepoint\.com|onedrive\.live\.com|1drv\.ms|drive\.google\.com|docs\.google\.com|dropbox\.com|"
    r"box\.com|portal\.azure\.com|ml\.azure\.com|github\.com|console\.cloud\.google\.com|console\.aws\.amazon\.com)"
)
_ONE_SLASH: Final = re.compile(r"^(az|abfss?|wasbs?|s3[an]?|gc?s|https?|memory):/?(?=[^/])", re.IGNORECASE)
_AZURE_ML: Final = (
    "write az://CONTAINER/folder, or abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/folder; account and container of a "
    "datastore stand in Azure ML Studio under Data, Datastores"
)
_NOT_OPENED: Final = {
    "azureml": ("Azure ML", _AZURE_ML),
    "amldatastore": ("Azure ML", _AZURE_ML),
    "dbfs": (
        "Databricks' own files",
        "write the store behind it, such as abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/folder or "
        "s3://BUCKET/folder; dbutils.fs.mounts() shows it",
    ),
    "adl": (
        "Data Lake Storage Gen1 that Azure has ended",
        "write where the data were moved to, such as abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/folder",
    ),
}


def understood(url: str) -> str:
    """A store's URL in the form that fsspec knows, of the one that a person copied from elsewhere.

    Known are the https addresses of blobs, buckets and their consoles, Spark's schemes for the same (wasbs, s3a), ARNs,
    `file:` in each of its forms, and quotes around a path.

    Raises:
        ConfigError: nothing here can open it; the cure says how it is written.
    """
    text = _unquoted(url.strip())
    _check_windows(text)
    scheme = match.group(1).lower() if (match := _SCHEME.match(text)) else ""
    if scheme in _NOT_OPENED:
        what, cure = _NOT_OPENED[scheme]
        raise ConfigError(f"{text} is an address of {what}, which nothing here can open", cure=cure)
    if scheme in _READ:
        return _READ[scheme](text)
    if _ONE_SLASH.match(text):
        _refuse_slash(text)
    return f"{scheme}://{text.partition('://')[2]}" if scheme and "://" in text else text


def _of_file(text: str) -> str:
    """The path of a `file:` URL; one that is there as it is written stays, another is decoded."""
    path = re.sub(r"^file:(//localhost(?=/)|//(?=/)|//(?=[~.])|)", "", text, flags=re.IGNORECASE)
    path = f"/{path.lstrip('/')}" if path.startswith("/") else path
    return path if "%" not in path or Path(path).exists() else unquote(path)


def _unquoted(text: str) -> str:
    for before, after in _QUOTES:
        if len(text) > 1 and text.startswith(before) and text.endswith(after):
            return text[1:-1].strip()
    return text


def _check_windows(text: str) -> None:
    """Raises: ConfigError for a path that only Windows knows, on another system."""
    if os.name == "nt":
        return
    drive = _DRIVE.match(text)
    if drive is not None:
        below = drive.group(2).replace("\\", "/")
        raise ConfigError(
            f"{text} is a path of Windows, and this system is none",
            cure="write the path that the folder has on this system; within WSL it is "
            f"/mnt/{drive.group(1).lower()}/{below}",
        )
    if _SHARE.match(text):
        raise ConfigError(
            f"{text} is a share of a network, which nothing here can open by this name",
            cure="mount the share and write the folder where it is mounted, such as /mnt/share/folder",
        )
    if "\\" in text and "/" not in text and not Path(text).exists():
        raise ConfigError(
            f"{text} is written with the separators of Windows, and there is no such folder",
            cure=f"write {text.replace(chr(92), '/')}",
        )


def _refuse_slash(text: str) -> NoReturn:
    scheme, _, rest = text.partition(":")
    raise ConfigError(f"{text} lacks slashes behind its scheme", cure=f"write {scheme}://{rest.lstrip('/')}")


def _of_azure(text: str) -> str:
    """`abfss://container@account.dfs.../path` of Spark's forms; without an account as it is."""
    if "://" not in text:
        _refuse_slash(text)
    rest = text.partition("://")[2]
    place, _, path = rest.partition("/")
    container, at, host = place.rpartition("@")
    found = _BLOB_HOST.fullmatch(host.lower()) if at else None
    if found is None:
        scheme = text.partition("://")[0].lower()
        return f"{'az' if scheme.startswith('wasb') else scheme}://{rest}"
    return _azure(found, container, path)


def _azure(host: re.Match[str], container: str, path: str) -> str:
    return f"abfss://{container}@{host.group(1)}.dfs.{host.group(2)}/{path}".rstrip("/")


def _of_web(text: str) -> str:
    parts = urlsplit(text)
    host, path = (parts.hostname or "").lower(), unquote(parts.path).lstrip("/")
    if found := _BLOB_HOST.fullmatch(host):
        container, _, below = path.partition("/")
        if not container:
            raise ConfigError(
                f"{text} names an account and no container", cure=f"write {text.rstrip('/')}/CONTAINER"
            )
        return _azure(found, container, below)
    if found := _S3_HOST.fullmatch(host):
        return f"s3://{found.group(1)}/{path}".rstrip("/") if found.group(1) else f"s3://{path}".rstrip("/")
    if host in _GS_HOSTS:
        return f"gs://{path}".rstrip("/")
    if host.endswith(".storage.googleapis.com"):
        return f"gs://{host.removesuffix('.storage.googleapis.com')}/{path}".rstrip("/")
    console = _of_console(text, host, path)
    if console is not None:
        return console
    if _PAGES.fullmatch(host):
        raise ConfigError(
            f"{text} is a page for people, not a store",
            cure="write where the files are: a folder of this machine that they were downloaded or synchronised to, "
            "az://container/folder, s3://bucket/folder or gs://bucket/folder",
        )
    return text


def _of_console(text: str, host: str, path: str) -> str | None:
    """What the page of a portal or a console is about."""
    if host == "portal.azure.com":
        account = re.search(r"storageAccounts(?:/|%2F)([a-z0-9]+)", text)
        place = re.search(r"/path/([^/]+)", text)
        if account and place:
            container, _, below = unquote(place.group(1)).partition("/")
            return f"abfss://{container}@{account.group(1)}.dfs.core.windows.net/{below}".rstrip("/")
    if host == "console.cloud.google.com" and (
        found := re.match(r"storage/browser/(?:_details/)?([^;]+)", path)
    ):
        return f"gs://{found.group(1)}".rstrip("/")
    if host.endswith("console.aws.amazon.com") and (found := re.match(r"s3/(?:buckets|object)/(.+)", path)):
        below = "".join(parse_qs(urlsplit(text).query).get("prefix", [""]))
        return f"s3://{found.group(1).rstrip('/')}/{below}".rstrip("/")
    return None


def _of_arn(text: str) -> str:
    found = re.fullmatch(r"arn:aws[a-z-]*:s3:::(.+)", text, re.IGNORECASE)
    if found is None:
        raise ConfigError(f"{text} names no bucket of S3", cure="write s3://BUCKET/folder")
    return f"s3://{found.group(1).rstrip('*').rstrip('/')}"


def _of_spark_s3(text: str) -> str:
    return f"s3://{text.partition('://')[2]}" if "://" in text else _refuse_slash(text)


_READ: Final[Mapping[str, Callable[[str], str]]] = {
    "file": _of_file,
    **dict.fromkeys(("http", "https"), _of_web),
    **dict.fromkeys(("wasb", "wasbs", "abfs", "abfss"), _of_azure),
    **dict.fromkeys(("s3a", "s3n"), _of_spark_s3),
    "arn": _of_arn,
}
"""How the addresses of each scheme are read."""
