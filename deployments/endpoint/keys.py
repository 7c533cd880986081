"""Who may ask what: a primary and a secondary key that open all, named keys with scopes; replaceable at any time."""

import hashlib
import hmac
import os
import shlex
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from tasks.errors import ConfigError

PRIMARY: Final = "LIGHTBOX_PRIMARY_KEY"
SECONDARY: Final = "LIGHTBOX_SECONDARY_KEY"
NAMED: Final = "LIGHTBOX_KEY_"
"""A client's own key: LIGHTBOX_KEY_PACS=... is the key of the client pacs."""
SCOPED: Final = "LIGHTBOX_SCOPES_"
"""What it opens, where that is not all but the metrics: LIGHTBOX_SCOPES_PACS=predict."""

Scope = Literal["predict", "model", "metrics"]
SCOPES: Final[frozenset[Scope]] = frozenset(get_args(Scope))
MIN_LENGTH: Final = 16
MIN_DIFFERENT: Final = 8
"""Shorter keys, and keys of fewer different characters, can be guessed."""

LOOK_SECONDS: Final = 1.0
_NO_KEYS: Final = "set LIGHTBOX_PRIMARY_KEY, or name a file with `LIGHTBOX_PRIMARY_KEY=...` by --key-file"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose key was shown, and what it opens."""

    name: str
    scopes: frozenset[Scope]


ANYONE: Final = Caller("anyone", SCOPES)
"""Who asks where no key is set."""


@dataclass(frozen=True, slots=True)
class _Key:
    digest: bytes
    caller: Caller


class KeyRing:
    """The keys that open, from the environment or a file; only their digests are held.

    A file has lines `LIGHTBOX_PRIMARY_KEY=...` and the like. It is looked at
    again at most once a second; while it cannot be read or holds no valid key, the last good keys stay.

    Raises:
        ConfigError: a key is too short, or the file cannot be read or holds none.
    """

    def __init__(self, file: Path | None = None, environment: Mapping[str, str] | None = None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._looked = time.monotonic()
        self._seen = _stamp(file) if file else None
        self._keys = _from_file(file) if file else _keys(os.environ if environment is None else environment)

    @property
    def is_empty(self) -> bool:
        """Whether no key is set, so that everyone is let in."""
        return not self._keys

    def caller(self, authorization: str | None) -> Caller | None:
        """Whose key a header's value, `Bearer <key>`, holds; anyone's when no key is set."""
        self._look_again()
        if not self._keys:
            return ANYONE
        scheme, _, key = (authorization or "").partition(" ")
        given = hashlib.sha256(key.strip().encode("utf-8", "surrogateescape")).digest()
        matches = [key.caller for key in self._keys if hmac.compare_digest(given, key.digest)]
        return matches[0] if matches and scheme.lower() == "bearer" else None

    def _look_again(self) -> None:
        now = time.monotonic()
        if self._file is None or now - self._looked < LOOK_SECONDS or not self._lock.acquire(blocking=False):
            return
        try:
            self._looked = now
            stamp = _stamp(self._file)
            if stamp is not None and stamp != self._seen:
                self._keys, self._seen = _from_file(self._file), stamp
        except ConfigError:
            return  # the last good keys stay until the file is whole
        finally:
            self._lock.release()


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        facts = file.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino


def _from_file(file: Path) -> tuple[_Key, ...]:
    try:
        if file.stat().st_mode & 0o007:
            raise ConfigError(
                f"every user of this machine may read the key file {file}",
                cure=f"chmod o= {shlex.quote(str(file))}",
            )
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the key file {file} cannot be read ({type(error).__name__})",
            cure="give this user the right to read it",
        ) from None
    pairs = (line.partition("=") for line in lines if not line.lstrip().startswith("#"))
    keys = _keys({name.strip(): value.strip().strip("'\"") for name, _, value in pairs})
    if not keys:
        raise ConfigError(f"the key file {file} holds no key", cure=f"write a line {PRIMARY}=...")
    return keys


def _keys(source: Mapping[str, str]) -> tuple[_Key, ...]:
    named = sorted(name for name in source if name.startswith(NAMED) and name != NAMED)
    keys = {name: source.get(name, "").strip() for name in (PRIMARY, SECONDARY, *named)}
    cure = "make one by: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
    for name, key in keys.items():
        if key and len(key) < MIN_LENGTH:
            raise ConfigError(f"{name} has {len(key)} characters, fewer than {MIN_LENGTH}", cure=cure)
        if key and (len(set(key)) < MIN_DIFFERENT or key in (key + key)[1:-1]):
            raise ConfigError(
                f"{name} repeats itself, or has fewer than {MIN_DIFFERENT} different characters", cure=cure
            )
        if key and list(keys.values()).count(key) > 1:
            raise ConfigError(f"{name} is another one's key too: nobody could say who asked", cure=cure)
    return tuple(
        _Key(hashlib.sha256(key.encode()).digest(), _caller(name, source))
        for name, key in keys.items()
        if key
    )


def _caller(name: str, source: Mapping[str, str]) -> Caller:
    """Raises: ConfigError when a scope is none."""
    if name in (PRIMARY, SECONDARY):
        return Caller("primary" if name == PRIMARY else "secondary", SCOPES)
    client = name.removeprefix(NAMED)
    said = source.get(f"{SCOPED}{client}")
    if said is None:
        return Caller(client.lower(), frozenset({"predict", "model"}))
    wanted = {word.strip() for word in said.split(",") if word.strip()}
    scopes = frozenset(scope for scope in SCOPES if scope in wanted)
    if not scopes or len(scopes) < len(wanted):
        raise ConfigError(
            f"{SCOPED}{client}={said} names what is no scope",
            cure=f"choose among {', '.join(sorted(SCOPES))}",
        )
    return Caller(client.lower(), scopes)


def require_safe(keys: KeyRing, *, loopback: bool, host: str) -> None:
    """Without a key only this machine may be served.

    Raises:
        ConfigError: no key is set and the address can be reached from elsewhere.
    """
    if keys.is_empty and not loopback:
        raise ConfigError(f"no key is set, and {host} can be reached from other machines", cure=_NO_KEYS)
