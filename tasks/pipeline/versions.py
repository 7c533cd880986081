"""Pipelines of a workspace: numbered versions that never change; what was begun from an old one is no new one."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from pydantic import Field

from tasks.errors import PipelineError
from tasks.pipeline.document import Document
from tasks.record import Frozen
from tasks.stores.layout import PIPELINE
from tasks.stores.workspace import VersionedDocument, Workspace


class PipelineVersion(Frozen):
    """One version."""

    name: str = Field(description="Name of the pipeline.")
    version: int = Field(ge=1, description="Its number.")
    title: str | None = Field(description="What people read.")
    nodes: int = Field(ge=0, description="How many.")
    digest: str = Field(description="SHA-256 of what it means.")


class Pipelines:
    """The pipelines of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def names(self) -> tuple[str, ...]:
        """All of them."""
        paths = self._workspace.list(PIPELINE.folder())
        return tuple(sorted({fields["name"] for path in paths if (fields := PIPELINE.fields(path))}))

    def newest(self, name: str) -> int:
        """The number of the newest version; 0 before the first."""
        return max(self._versions(name).versions(), default=0)

    def read(self, name: str, version: int | None = None) -> Document:
        """One version, the newest where none is named.

        Raises: PipelineError when there is none.
        """
        there = self._versions(name).versions()
        if not there:
            known = ", ".join(self.names()) or "none"
            raise PipelineError(
                f"there is no pipeline {name} in {self._workspace.url}", cure=f"known are: {known}"
            )
        if version is not None and version not in there:
            raise PipelineError(
                f"there is no version {version} of {name}", cure=f"its versions are {there[0]} to {there[-1]}"
            )
        chosen = there[-1] if version is None else version
        return Document.read(self._versions(name).read_version(chosen).decode(), f"{name}@{chosen}")

    def history(self, name: str) -> Iterator[PipelineVersion]:
        """All versions, the oldest first.

        Raises: PipelineError when there is none.
        """
        self.read(name)
        for number in self._versions(name).versions():
            document = self.read(name, number)
            yield PipelineVersion(
                name=name,
                version=number,
                title=document.title,
                nodes=len(document.nodes),
                digest=document.digest,
            )

    def save(self, document: Document, after: int) -> int:
        """Keep a new version of what was begun from version `after` (0: a new pipeline); the number that it has.

        What says the same as the newest version makes no new one.

        Raises: PipelineError when somebody has kept another version meanwhile.
        """
        text = document.write().encode()

        def changed(content: bytes | None) -> bytes:
            newest, begun = self.newest(document.name), f"version {after}" if after else "none"
            if content != text and newest != after:
                raise PipelineError(
                    f"{document.name} has version {newest}, yours was begun from {begun}",
                    cure=f"look at `lightbox pipeline diff`, bring both together, and import it with --after {newest}",
                )
            return text

        return self._versions(document.name).update(changed)

    def _versions(self, name: str) -> VersionedDocument:
        folder = PIPELINE.folder(name=name)
        return VersionedDocument(self._workspace, folder, PurePosixPath(PIPELINE.text).suffix)
