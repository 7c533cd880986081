"""What is remembered of those who were forgotten: pseudonyms by which they are known again, and what was done."""

from collections.abc import Iterable
from functools import cached_property
from typing import Literal
from uuid import uuid4

from pydantic import AwareDatetime, Field

from tasks.record import Frozen
from tasks.stores.layout import ERASURE, Kind
from tasks.stores.pseudonyms import Pseudonyms
from tasks.stores.workspace import Workspace

_CONTENT = "forgotten content"
_GROUP = "forgotten group"


class ErasureRecord(Frozen):
    """One erasure, without anything that tells whose it was."""

    schema_version: Literal[1] = 1
    time: AwareDatetime = Field(description="When.")
    state: Literal["begun", "done"] = Field(description="Two are kept of each: before and after the work.")
    by: str = Field(min_length=1, description="Who did it.")
    reason: str = Field(min_length=1, description="Why, such as a request's number.")
    contents: tuple[str, ...] = Field(description="Pseudonyms of the images' digests.")
    groups: tuple[str, ...] = Field(description="Pseudonyms of the group keys.")
    replaced: dict[str, str] = Field(
        description="SHA-256 of each file that was written again: before, and after."
    )
    files: dict[Kind, int] = Field(description="Files that were changed or removed, by kind.")
    elsewhere: tuple[str, ...] = Field(description="What must be removed by hand.")


class Forgotten:
    """Who was forgotten in a workspace: asks for pseudonyms only where there is anyone."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, self._pseudonyms = workspace, Pseudonyms(workspace)

    @cached_property
    def records(self) -> tuple[ErasureRecord, ...]:
        """All records, the oldest first."""
        paths = self._workspace.list(ERASURE.folder())
        found = (ErasureRecord.model_validate_json(self._workspace.read(path)) for path in paths)
        return tuple(sorted(found, key=lambda record: record.time))

    @property
    def replaced(self) -> dict[str, str]:
        """Digests of files that were written again, whether or not all that refer to them were changed."""
        return {old: new for record in self.records for old, new in record.replaced.items()}

    def token(self, sha256: str) -> str:
        """What stands for an image's digest."""
        return self._pseudonyms.of(_CONTENT, sha256)

    def group_token(self, name: str, group: str) -> str:
        """What stands for a patient of a data set."""
        return self._pseudonyms.of(_GROUP, f"{name}\0{group}")

    def among(self, sha256s: Iterable[str]) -> frozenset[str]:
        """Those digests that were forgotten."""
        known = {token for record in self.records for token in record.contents}
        return (
            frozenset(sha256 for sha256 in sha256s if self.token(sha256) in known) if known else frozenset()
        )

    def has_group(self, name: str, group: str) -> bool:
        """Whether a patient of a data set was forgotten; `group` as `PatientKeys` makes it."""
        known = {token for record in self.records for token in record.groups}
        return bool(known) and self.group_token(name, group) in known

    def remember(self, record: ErasureRecord) -> str:
        """Keep a record for ever; its path."""
        erasure = f"{record.time:%Y%m%d-%H%M%S}-{uuid4().hex[:6]}-{record.state}"
        path = ERASURE.path(erasure=erasure)
        self._workspace.write_new(path, record.model_dump_json(indent=2).encode())
        return path
