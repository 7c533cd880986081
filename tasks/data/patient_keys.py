"""Group keys (a patient, a study) as they are kept: keyed digests, from the listing on."""

import hashlib
from typing import Final

from tasks.data.patient_key import folded_key
from tasks.stores.pseudonyms import Pseudonyms
from tasks.stores.workspace import Workspace

DIGITS: Final = 32


class PatientKeys:
    """What stands for group keys in a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._pseudonyms = Pseudonyms(workspace)

    @property
    def id(self) -> str:
        """Of the workspace's key: keys under another one are not comparable."""
        return self._pseudonyms.key_id

    def of(self, group: str) -> str:
        """What stands for a group key, however it is written: spaces around it and its capitals mean nothing."""
        return self.as_written(folded_key(group))

    def as_written(self, group: str) -> str:
        """What stands for it as it is written: ledgers of before know it only so."""
        return self.of_digest(hashlib.sha256(f"group key\0{group}".encode()).hexdigest()[:DIGITS])

    def of_digest(self, digest: str) -> str:
        """The same from the plain digest that fold ledgers of schema 1 hold."""
        return self._pseudonyms.of("group", digest)[:DIGITS]
