"""The files of a bundle, wherever it is: each is verified before it is used."""

import hashlib
from pathlib import Path
from uuid import uuid4

from tasks.errors import BundleError, WorkspaceError
from tasks.models.manifest import BUNDLE_FILE, read_manifest, sha256_of
from tasks.stores.permissions import make_private
from tasks.stores.workspace import Workspace


class BundleFiles:
    """The files of a bundle by name, each verified before its path is handed out."""

    def __init__(self, store: Workspace, cache_root: Path) -> None:
        self.uri = store.url
        self._store = store
        try:
            data = store.read(BUNDLE_FILE)
        except WorkspaceError as error:
            raise BundleError(f"no bundle at {self.uri}: {error.message}", cure=error.cure) from error
        self.manifest = read_manifest(data, self.uri)
        kept = cache_root / "bundles" / hashlib.sha256(data).hexdigest()[:32]
        self._folder = Path(store.url) if store.is_local else kept
        self._verified: set[str] = set()

    def path(self, name: str) -> Path:
        """A local path of the file, beside those of the bundle's other files.

        Raises:
            BundleError: it is missing, or its SHA-256 is not the recorded one.
        """
        path = self._folder / name
        if name in self._verified:
            return path
        expected = self.manifest.files[name]
        if self._store.is_local:
            if not path.is_file():
                raise BundleError(f"{path} is missing from the bundle", cure="copy the bundle again, whole")
            self._require(sha256_of(path), expected, name)
        elif not (path.is_file() and sha256_of(path) == expected):
            self._fetch(name, path, expected)
        self._verified.add(name)
        return path

    def _fetch(self, name: str, path: Path, expected: str) -> None:
        temporary = path.with_name(f".{uuid4().hex}.tmp")
        try:
            data = self._store.read(name)
            self._require(hashlib.sha256(data).hexdigest(), expected, name)
            make_private(path.parent)
            temporary.write_bytes(data)
            temporary.replace(path)
        except WorkspaceError as error:
            raise BundleError(f"{self.uri}: {name}: {error.message}", cure=error.cure) from error
        except OSError as error:
            raise BundleError(
                f"the cache {path.parent} cannot be written: {error.strerror or error}",
                cure="set LIGHTBOX_CACHE to a writable folder with enough room",
            ) from error
        finally:
            temporary.unlink(missing_ok=True)

    def _require(self, found: str, expected: str, name: str) -> None:
        if found != expected:
            raise BundleError(
                f"{self.uri}: {name} is damaged: its SHA-256 is {found}, {BUNDLE_FILE} says {expected}",
                cure="publish or copy the bundle again",
            )
