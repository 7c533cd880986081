"""Where a manifest is: a URL, a local file, or a path within the store."""

import os
from collections.abc import Sequence
from pathlib import Path

from tasks.data.addresses import is_url
from tasks.errors import DataError, ManifestMismatch
from tasks.stores.datastore import Blob, Datastore


def manifest_bytes(store: Datastore, blobs: Sequence[Blob], manifest: str) -> tuple[bytes, str | None]:
    """Content of a manifest that is a URL, a local file or a path within the store, and its path if it stands there.

    Raises:
        ManifestMismatch: there is none, or it cannot be read.
    """
    within = manifest[len(store.url) :].lstrip("/") if manifest.startswith(f"{store.url}/") else manifest
    local = Path(os.path.abspath(Path(manifest).expanduser()))  # noqa: PTH100 links stay links
    try:
        if not is_url(manifest) and local.is_file():
            inside = store.is_local and local.is_relative_to(store.url)
            return local.read_bytes(), str(local.relative_to(store.url)) if inside else None
        if any(blob.path == within for blob in blobs):
            return store.read(within), within
        if is_url(manifest):
            folder, _, name = manifest.rpartition("/")
            return Datastore(folder).read(name), None
    except OSError as error:
        raise ManifestMismatch(
            f"{manifest} cannot be read ({error.strerror})", cure="check the file's permissions"
        ) from error
    except DataError as error:
        raise ManifestMismatch(f"the manifest cannot be read: {error.message}", cure=error.cure) from error
    raise ManifestMismatch(
        f"there is no manifest {manifest}, neither as a local file nor in {store.url}", cure="check its path"
    )
