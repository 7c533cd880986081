"""A workspace that an earlier version wrote, and the images that it was made from."""

import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from tasks.ingest import Listing
from tasks.record import FileReference

ARCHIVE = Path(__file__).parent / "stored" / "workspace_0.1.0.tar.xz"
WORKSPACE = "memory://stored-workspace"
IMAGES = "memory://images"


@pytest.fixture
def stored_listing() -> Iterator[Listing]:
    """Put both where they were, and take them away again; what was found in the store then."""
    files = fsspec.filesystem("memory")
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            data = archive.extractfile(member)
            if data is not None:
                root, _, path = member.name.partition("/")
                folder = IMAGES if root == "images" else WORKSPACE
                files.pipe(f"{folder.removeprefix('memory:/')}/{path}", data.read())
    [table] = files.glob("/stored-workspace/datasets/stored/listings/*.parquet")
    yield Listing(
        url=IMAGES,
        block=None,
        images=38,
        unlabelled=0,
        table=FileReference(
            path=table.removeprefix("/stored-workspace/"),
            sha256=hashlib.sha256(files.cat(table)).hexdigest(),
        ),
    )
    for folder in ("/stored-workspace", "/images"):
        files.rm(folder, recursive=True)
