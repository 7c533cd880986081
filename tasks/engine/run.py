"""One run of a flow: what every stage needs to know beside its own inputs."""

import hashlib
import logging
import secrets
from datetime import UTC, datetime
from functools import cache
from pathlib import Path, PurePosixPath

from pydantic import Field

from tasks.record import FileReference, Frozen, NodeName
from tasks.stores.disk import temporary_folder, told_when_full
from tasks.stores.fetch import default_cache_root
from tasks.stores.layout import run_folder
from tasks.stores.permissions import open_to_others
from tasks.stores.workspace import Workspace

logger = logging.getLogger("lightbox")


class Run(Frozen):
    """A reference to a run's place in the workspace: small, serialisable, without secrets."""

    id: str = Field(description="Time-ordered name of the run.")
    name: str = Field(description="Name of the data set and of the model made from it.")
    workspace: str = Field(description="fsspec URL of the workspace.")
    workspace_block: str | None = Field(default=None, description="Datastore block with its secrets.")
    force: bool = Field(default=False, description="Run every stage again, also where nothing changed.")
    node: NodeName | None = Field(
        default=None,
        description="Whose work this is, where a run holds several trainings: each has files of its own.",
    )

    def at(self, node: str) -> "Run":
        """The same run, for the work of one of its nodes.

        Raises: ValidationError when the name is no slug.
        """
        return Run.model_validate({**self.model_dump(), "node": node})

    @property
    def folder(self) -> str:
        """Path below the workspace of the run's files, or of those of its node."""
        return run_folder(self.id, self.node)

    @property
    def full_id(self) -> str:
        """The run's name, and its node's where it has one."""
        return f"{self.id}-{self.node}" if self.node else self.id

    @property
    def checkpoints(self) -> Path:
        """Where this machine keeps what trainings of the data set, or of the node, go on from in a later run."""
        own = self.cache_root / "checkpoints" / self.name
        return own / "nodes" / self.node if self.node else own

    def open_workspace(self) -> Workspace:
        """The workspace, with the secrets of its block or of the environment."""
        return _open_workspace(self.workspace, self.workspace_block)

    @property
    def cache_root(self) -> Path:
        """Where this machine keeps what can be had again."""
        return default_cache_root()

    @property
    def places(self) -> dict[str, Path]:
        """Where this run writes on this machine, by what the place is for."""
        places = {"the cache": self.cache_root, "temporary files": temporary_folder()}
        workspace = self.open_workspace()
        return {"the workspace": Path(workspace.url), **places} if workspace.is_local else places

    def read(self, file: FileReference) -> bytes:
        """The content that a record refers to.

        Raises: WorkspaceError when it is gone, or another one stands in its place.
        """
        return self.open_workspace().read_verified(file)

    def write(self, relative_path: str, data: bytes) -> FileReference:
        """Write a file of this run and refer to it."""
        return write_file(self.open_workspace(), f"{self.folder}/{relative_path}", data)


def open_run(workspace: str, block: str | None, name: str, *, force: bool = False) -> Run:
    """Begin a run in a workspace that proved to be writable.

    Raises: WorkspaceError when it is not.
    """
    run = Run(id=new_run_id(), name=name, workspace=workspace, workspace_block=block, force=force)
    with told_when_full(run.places):
        run.open_workspace().check_writable()
    for purpose, folder in run.places.items():
        if purpose != "temporary files" and open_to_others(folder):
            logger.warning("every user of this machine may look into %s: chmod o= %s", purpose, folder)
    return run


def new_run_id() -> str:
    """A name that sorts by time and that two runs never share."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def write_file(workspace: Workspace, path: str, data: bytes) -> FileReference:
    """Write a workspace file atomically and refer to it."""
    workspace.write(path, data)
    return FileReference(path=path, sha256=hashlib.sha256(data).hexdigest())


def write_lasting(workspace: Workspace, path: str, data: bytes) -> FileReference:
    """Write a file that several runs share and that none overwrites.

    Where another content stands, the file is written under a name with its own digest, so that each kept record finds
    what it refers to.
    """
    if workspace.write_new(path, data) or workspace.read(path) == data:
        return FileReference(path=path, sha256=hashlib.sha256(data).hexdigest())
    place = PurePosixPath(path)
    digest = hashlib.sha256(data).hexdigest()
    return write_file(workspace, str(place.with_stem(f"{place.stem}-{digest[:8]}")), data)


def block_options(block: str | None) -> dict[str, object] | None:
    """The secret options of a Datastore block; None where no block is named, for the environment to decide."""
    if block is None:
        return None
    from tasks.server.blocks import Datastore as DatastoreBlock

    return DatastoreBlock.options_of(block)


@cache
def _open_workspace(url: str, block: str | None) -> Workspace:
    return Workspace(url, block_options(block))
