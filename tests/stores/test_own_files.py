"""What Lightbox wrote is never listed as an image, whatever lies in whatever."""

import uuid
from pathlib import Path

import fsspec
import pytest

from tasks.stores.datastore import Datastore
from tasks.stores.layout import MARK, is_own
from tasks.stores.workspace import Workspace

IMAGES = {"yes/1.png", "no/2.png", "unsorted.png"}
OWN = (
    "runs/20260101-000000-abcdef/report.html",
    "models/slices/v1/bundle.json",
    "models/slices/aliases/1.json",
    "datasets/slices/listings/0123456789abcdef.parquet",
    "stages/catalogue/0123.json",
    "cache/inspections/0123/4567.parquet",
    "labels/slices/queue.parquet",
    "scores.parquet",
    "scores.csv",
    "scoring.json",
    f"parts/{'0' * 32}/{'1' * 32}.parquet",
)


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store of either kind."""
    return str(tmp_path / "store") if request.param == "local" else f"memory://{uuid.uuid4().hex}"


def put(url: str, paths: set[str]) -> None:
    for path in paths:
        with fsspec.open(f"{url}/{path}", "wb", auto_mkdir=True) as file:
            file.write(path.encode())


@pytest.mark.parametrize("place", ["", "ws", "deep/er/ws", "yes/ws"])
def test_a_workspace_within_the_images_or_around_them_is_not_listed(place: str, root: str) -> None:
    put(root, IMAGES)
    workspace = Workspace(f"{root}/{place}" if place else root)
    workspace.check_writable()
    for path in OWN:
        workspace.write(path, b"own")
    assert {blob.path for blob in Datastore(root).blobs()} == IMAGES
    assert set(workspace.list()) >= set(OWN)


def test_images_within_a_workspace_are_listed(root: str) -> None:
    Workspace(root).check_writable()
    put(f"{root}/images", IMAGES)
    assert {blob.path for blob in Datastore(f"{root}/images").blobs()} == IMAGES
    assert {blob.path for blob in Datastore(root).blobs()} == {f"images/{path}" for path in IMAGES}


def test_folders_of_the_same_names_are_images_where_nothing_marks_a_workspace(root: str) -> None:
    paths = {"models/a/v1/1.png", "runs/b/2.png", "scores.csv"}
    put(root, paths)
    assert {blob.path for blob in Datastore(root).blobs()} == paths


def test_the_mark_is_no_data_and_is_put_once(root: str) -> None:
    workspace = Workspace(root)
    workspace.check_writable()
    workspace.check_writable()
    assert workspace.list() == []
    assert workspace.exists(MARK)
    assert not is_own("yes/1.png")
