"""What an error of a store means, whether trying again can help, and how to speak of it without its secrets.

File systems raise errors of many libraries (azure, botocore, google, aiohttp, the operating system). They are
told apart by what they carry (an HTTP status, a class name, an errno), so that none is imported here.
"""

import asyncio
import errno
import random
import time
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import quote

from tasks.errors import scrubbed, secrets_in

Result = TypeVar("Result")

_DENIED_STATUS = {401, 403}
_TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}
_DENIED_NAMES = {
    "ClientAuthenticationError",  # azure-core
    "CredentialUnavailableError",  # azure-identity
    "NoCredentialsError",  # botocore
    "PartialCredentialsError",
    "DefaultCredentialsError",  # google-auth
    "RefreshError",
}
_TRANSIENT_NAMES = {
    "ServiceRequestError",  # azure-core: the request did not leave, or nothing listens
    "ServiceResponseError",  # azure-core: the answer broke off
    "IncompleteReadError",
    "ClientConnectionError",  # aiohttp
    "ClientPayloadError",
    "EndpointConnectionError",  # botocore
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ConnectionClosedError",
    "TransportError",  # google-auth
}
_TRANSIENT_ERRNO = {
    errno.EAGAIN,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.EINTR,
    errno.ENETUNREACH,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
_PUBLIC_OPTIONS = {
    "account_name",
    "account_host",
    "endpoint_url",
    "region_name",
    "project",
    "protocol",
}


class FailureKind(StrEnum):
    """What an error of a store means for the work."""

    missing = "missing"
    denied = "denied"
    unreachable = "unreachable"
    other = "other"


def failure_kind(error: BaseException) -> FailureKind:
    """Tell what an error means, looking through the errors it was raised from."""
    for link in error_chain(error):
        kind = _kind_of_link(link)
        if kind is not None:
            return kind
    return FailureKind.other


def error_chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it was raised from, newest first."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _kind_of_link(error: BaseException) -> FailureKind | None:
    status = _http_status(error)
    names = {kind.__name__ for kind in type(error).__mro__}
    if status in _DENIED_STATUS or isinstance(error, PermissionError) or names & _DENIED_NAMES:
        return FailureKind.denied
    if status == 404 or isinstance(error, FileNotFoundError | NotADirectoryError):
        return FailureKind.missing
    if status in _TRANSIENT_STATUS or names & _TRANSIENT_NAMES:
        return FailureKind.unreachable
    if isinstance(error, ConnectionError | TimeoutError | asyncio.TimeoutError):
        return FailureKind.unreachable
    if isinstance(error, OSError) and (error.errno in _TRANSIENT_ERRNO or "gaierror" in names):
        return FailureKind.unreachable
    return None


def _http_status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):  # botocore
        response = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    for candidate in (getattr(error, "status_code", None), getattr(error, "status", None), response):
        if isinstance(candidate, int):
            return candidate
    code = getattr(error, "code", None)  # gcsfs and google-api-core
    return code if isinstance(code, int) else None


def with_retries(call: Callable[[], Result], *, attempts: int, wait_seconds: float = 0.5) -> Result:
    """Call, and call again after a growing pause while the store is unreachable.

    `attempts` counts the first call too; pauses double and are shortened at random by up to a half, so that
    many workers do not return at once. Errors that trying again cannot mend are raised at the first.
    """
    for attempt in range(1, attempts + 1):
        try:
            return call()
        except Exception as error:
            if attempt == attempts or failure_kind(error) is not FailureKind.unreachable:
                raise
            time.sleep(wait_seconds * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))  # noqa: S311 not a secret
    raise ValueError(f"attempts must be at least 1, got {attempts}")


def secrets_among(options: Mapping[str, Any]) -> tuple[str, ...]:
    """The texts in a store's options that no message may repeat, longest first."""
    found: set[str] = set()
    for name, value in options.items():
        if isinstance(value, Mapping):
            found.update(secrets_among(value))
        elif isinstance(value, str) and name not in _PUBLIC_OPTIONS and len(value) >= 6:
            found.add(value)
            found.update(secrets_in(value))
    return tuple(sorted(found | {quote(text, safe="") for text in found}, key=len, reverse=True))


def scrub(text: str, secrets: tuple[str, ...] = ()) -> str:
    """The text with known secrets, and whatever looks like one, replaced by ***."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return scrubbed(text)


def describe(error: BaseException, secrets: tuple[str, ...] = ()) -> str:
    """One line on an error: HTTP status and service code when it has any, else its first line; no secrets."""
    status = _http_status(error)
    code = getattr(error, "error_code", None)
    if status is not None:
        return scrub(f"HTTP {status}" + (f" {getattr(code, 'value', code)}" if code else ""), secrets)
    first_line = str(error).strip().partition("\n")[0][:300]
    name = type(error).__name__
    return scrub(f"{name}: {first_line}" if first_line else name, secrets)


def safe_cause(error: BaseException, secrets: tuple[str, ...]) -> BaseException | None:
    """The error to chain from, or None when a traceback of it would show a secret."""
    texts = [str(link) for link in error_chain(error)]
    return error if all(scrub(text, secrets) == text for text in texts) else None
