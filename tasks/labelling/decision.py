"""Decisions about labels: who said what of which image and when; only ever added to, in the workspace's `labels/`."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal, Self

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from tasks.errors import WorkspaceError
from tasks.record import Frozen
from tasks.stores.layout import LABEL_DECISIONS
from tasks.stores.workspace import Workspace
from tasks.work.pool import map_in_order

DIGEST: Final = re.compile(r"[0-9a-f]{64}")
"""A SHA-256, hexadecimal."""

Answer = Literal["label", "reject", "skip"]
THREADS: Final = 8


class Decision(Frozen):
    """One answer to one image, by its content."""

    id: str = Field(min_length=1, description="Its name: the same one met again counts once.")
    sha256: str = Field(pattern=rf"^{DIGEST.pattern}$", description="Digest of the image file's bytes.")
    path: str = Field(description="Where the image stood, below its store.")
    answer: Answer = Field(
        description="label: it is of a class. reject: it is no usable image of any class. skip: not decided."
    )
    label: str | None = Field(default=None, description="The class, with the answer label.")
    by: str = Field(min_length=1, description="The person's name or address, or the model's version.")
    source: Literal["person", "machine"] = Field(description="What decided.")
    review: bool = Field(default=False, description="Whether it settles what others disagree on.")
    time: AwareDatetime = Field(description="When it was decided.")
    project: str = Field(
        description="Where it was decided: a labelling project, an import, the command line."
    )
    probability: float | None = Field(
        default=None, ge=0, le=1, description="How sure the machine was; none of a person."
    )
    seconds: float | None = Field(default=None, ge=0, description="How long it took, where that is known.")
    reason: str | None = Field(
        default=None, description="Why a person was asked about the image; None where nobody was asked."
    )
    selection_probability: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="How probable it was to be asked about, where it was drawn at random.",
    )
    suggested: str | None = Field(
        default=None, description="The class that the page showed as chosen already, if it showed one."
    )

    @model_validator(mode="after")
    def _label_with_its_answer(self) -> Self:
        if (self.label is not None) != (self.answer == "label"):
            raise ValueError("a label belongs to the answer 'label', and only to it")
        return self


def decision_id(*parts: object) -> str:
    """A name made from all that tells a decision from any other one."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]


class DecisionStore:
    """The decisions about one data set: JSON lines in `labels/<name>/`, each file written once and never changed."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self._workspace, self._name = workspace, name

    def read(self) -> list[Decision]:
        """All decisions, the earliest first, each once.

        Raises:
            WorkspaceError: a file is damaged.
        """
        listed = self._workspace.list(LABEL_DECISIONS.folder(name=self._name))
        paths = [path for path in listed if LABEL_DECISIONS.fields(path)]
        found: dict[str, Decision] = {}
        for path, data in zip(paths, map_in_order(self._workspace.read, paths, THREADS), strict=True):
            for decision in _parsed(data, self._workspace.uri(path)):
                found.setdefault(decision.id, decision)
        return sorted(found.values(), key=lambda decision: (decision.time, decision.id))

    def append(self, decisions: Iterable[Decision]) -> list[Decision]:
        """Keep those that are not there yet, as one file, whole or not at all; which these were."""
        known = {decision.id for decision in self.read()}
        new = list({one.id: one for one in decisions if one.id not in known}.values())
        if new:
            digest = hashlib.sha256("\n".join(sorted(decision.id for decision in new)).encode()).hexdigest()
            lines = "".join(f"{decision.model_dump_json()}\n" for decision in new)
            self._workspace.write_new(
                LABEL_DECISIONS.path(name=self._name, digest=digest[:32]), lines.encode()
            )
        return new


def _parsed(data: bytes, uri: str) -> Sequence[Decision]:
    try:
        return [Decision.model_validate_json(line) for line in data.splitlines() if line]
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise WorkspaceError(
            f"{uri} holds a line that is no decision ({first['msg']})",
            cure="restore the file from a copy of the workspace, or remove it: its decisions are lost then",
        ) from error
