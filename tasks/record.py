"""What crosses an arrow: small frozen records that hold references and facts, never tensors, images or tables."""

import hashlib
import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

NodeName = Annotated[str, Field(pattern=r"^[a-z0-9]+([-_][a-z0-9]+)*$", max_length=64)]
"""A node of a pipeline, as people name it: it stands in paths and in Prefect's tags."""


class Frozen(BaseModel):
    """What every form and every record is: it does not change, and knows no other fields than its own.

    What was given stands in no error's text: it may be a secret that somebody put into the wrong field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class FileReference(Frozen):
    """A file of the workspace, named by its place and its content."""

    path: str = Field(description="Path below the workspace.")
    sha256: str = Field(description="SHA-256 of the file's bytes, hexadecimal.")


class Record(Frozen):
    """What a stage hands on."""

    def files(self) -> tuple[FileReference, ...]:
        """The workspace files that this record stands for; without one of them it cannot be used again."""
        return tuple(references_in(self))

    def in_words(self) -> str:
        """What was found or decided, in one line for people; empty where the stage's name says all."""
        return ""

    @property
    def digest(self) -> str:
        """SHA-256 of what the record says, wherever its files stand."""
        return digest_of(self.model_dump(mode="json"))


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form; a file counts by its content, not its place."""
    canonical = json.dumps(_by_content(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _by_content(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"path", "sha256"}:
            return value["sha256"]
        return {key: _by_content(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_by_content(item) for item in value]
    return value


def references_in(value: Any) -> list[FileReference]:
    """The files that a record, or its JSON, refers to, in their order."""
    if isinstance(value, FileReference):
        return [value]
    if isinstance(value, BaseModel):
        return [reference for _, item in value for reference in references_in(item)]
    if isinstance(value, dict):
        if value.keys() == {"path", "sha256"}:
            return [FileReference.model_validate(value)]
        return [reference for item in value.values() for reference in references_in(item)]
    if isinstance(value, list | tuple):
        return [reference for item in value for reference in references_in(item)]
    return []
