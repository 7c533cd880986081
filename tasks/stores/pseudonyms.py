"""Names for what must not be stored: keyed digests, whose key stands in the workspace and nowhere else.

Whoever holds a ledger, a listing or a record without the key cannot find a patient's number by trying all of them.
"""

import hashlib
import hmac
import secrets
from functools import cached_property
from typing import Final

from tasks.errors import WorkspaceError
from tasks.stores.layout import PSEUDONYM_KEY
from tasks.stores.workspace import Workspace

KEY_BYTES: Final = 32


class Pseudonyms:
    """Keyed digests (HMAC-SHA-256) under the workspace's own key, which is made when it is first needed.

    Raises:
        WorkspaceError: the key is damaged.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def of(self, purpose: str, text: str) -> str:
        """The name of a text for one purpose, 64 hexadecimal digits: the same text has another one for another."""
        return hmac.new(self._key, f"{purpose}\0{text}".encode(), hashlib.sha256).hexdigest()

    @cached_property
    def key_id(self) -> str:
        """What tells this key from another, and nothing of it."""
        return self.of("key", "")[:16]

    @cached_property
    def _key(self) -> bytes:
        path = PSEUDONYM_KEY.path()
        if not self._workspace.exists(path):
            self._workspace.write_new(path, secrets.token_hex(KEY_BYTES).encode())
        text = self._workspace.read(path)
        try:
            key = bytes.fromhex(text.decode("ascii"))
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise WorkspaceError(
                f"{self._workspace.uri(path)} is damaged: no key of {KEY_BYTES} bytes",
                cure="put it back from a backup of the workspace: with another key no patient is known again",
            )
        return key
