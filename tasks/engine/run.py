"""One run of a flow: what every stage needs to know beside its own inputs."""

import hashlib
import secrets
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from pydantic import Field

from tasks.record import FileReference, Frozen
from tasks.stores.disk import temporary_folder, told_when_full
from tasks.stores.fetch import default_cache_root
from tasks.stores.workspace import Workspace


class Run(Frozen):
    """A reference to a run's place in the workspace: small, serialisable, without secrets."""

    id: str = Field(description="Time-ordered name of the run.")
    name: str = Field(description="Name of the data set and of the model made from it.")
    workspace: str = Field(description="fsspec URL of the workspace.")
    workspace_block: str | None = Field(default=None, description="Datastore block with its secrets.")
    force: bool = Field(default=False, description="Run every stage again, also where nothing changed.")

    @property
    def folder(self) -> str:
        """Path of the run below the workspace."""
        return f"runs/{self.id}"

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
    return run


def new_run_id() -> str:
    """A name that sorts by time and that two runs never share."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def write_file(workspace: Workspace, path: str, data: bytes) -> FileReference:
    """Write a workspace file atomically and refer to it."""
    workspace.write(path, data)
    return FileReference(path=path, sha256=hashlib.sha256(data).hexdigest())


def block_options(block: str | None) -> dict[str, object] | None:
    """The secret options of a Datastore block; None where no block is named, for the environment to decide."""
    if block is None:
        return None
    from tasks.server.blocks import Datastore as DatastoreBlock

    return DatastoreBlock.options_of(block)


@cache
def _open_workspace(url: str, block: str | None) -> Workspace:
    return Workspace(url, block_options(block))
