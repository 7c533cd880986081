"""The registry: published bundles that never change, and the names that say which of them counts.

models/<name>/v1/...            a bundle; its bundle.json is written last, so a version is whole or not there
models/<name>/claims/v1.json    who took the number: of several publishers at once each gets its own
models/<name>/aliases/...       champion and challenger with their history, by compare-and-swap
"""

import builtins
import hashlib
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import Field, ValidationError

from tasks.errors import BundleError, RegistryError, WorkspaceError
from tasks.models.alias_document import Alias, AliasChange, Aliases
from tasks.models.manifest import (
    BUNDLE_FILE,
    BundleManifest,
    checked_name,
    read_folder,
    read_manifest,
    sha256_of,
    timestamp,
)
from tasks.record import FileReference, Frozen
from tasks.stores.layout import ALIASES, VERSION_CLAIM, VERSION_FILE
from tasks.stores.workspace import VersionedDocument, Workspace
from tasks.work.progress import Progress, silent

ROOT: Final = VERSION_FILE.folder()
"""The folder of all models."""

_VERSION: Final = re.compile(r"v([1-9][0-9]*)")
_ANY: Final = "any"


class Version(Frozen):
    """A published version, as lists show it."""

    name: str
    version: str
    uri: str
    aliases: tuple[Alias, ...] = Field(description="Aliases that name it.")
    manifest: BundleManifest | None = Field(
        description="None when the version's bundle is gone, or cannot be read."
    )
    problem: str | None = Field(default=None, description="Why there is no manifest.")


class Registry:
    """The models of a workspace. Every method raises WorkspaceError when the workspace does not answer."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def models(self) -> builtins.list[str]:
        """Names of the models with at least one version, sorted."""
        return sorted({name for name, _ in self._whole(ROOT)})

    def versions(self, name: str) -> builtins.list[str]:
        """A model's versions, oldest first."""
        return sorted({version for _, version in self._whole(_folder(name))}, key=_number)

    def publish(self, bundle: Path, progress: Progress = silent) -> str:
        """Copy a local bundle into the registry under the name in its manifest; the new version.

        The version can be seen once all its files are there. A publisher that dies leaves a gap in the numbers.

        Raises:
            BundleError: the folder holds no whole bundle.
        """
        manifest = read_folder(bundle)
        files = {name: bundle / name for name in manifest.files}
        for name, path in files.items():
            if not path.is_file() or sha256_of(path) != manifest.files[name]:
                raise BundleError(
                    f"{path} is missing or is not what {BUNDLE_FILE} says", cure="export the bundle again"
                )
        version = self._claimed(manifest.name)
        folder = version_folder(manifest.name, version)
        placed: builtins.list[str] = []
        try:
            for done, (name, path) in enumerate(files.items()):
                progress(done, len(files) + 1, "files")
                placed.append(f"{folder}/{name}")
                self._workspace.upload(path, placed[-1])
            placed.append(f"{folder}/{BUNDLE_FILE}")
            self._workspace.write(placed[-1], (bundle / BUNDLE_FILE).read_bytes())
        except BaseException:
            with suppress(WorkspaceError):  # the first error is the one to tell
                for path_below in reversed(placed):
                    self._workspace.delete(path_below)
            raise
        progress(len(files) + 1, len(files) + 1, "files")
        return version

    def unpublish(self, name: str, version: str) -> None:
        """Remove a version that no alias names; its number is not given again. Half-removed ones go too.

        `bundle.json` goes first, so that nobody reads a part; it is put back if an alias came to name the version
        at that very moment.

        Raises:
            RegistryError: an alias names it.
        """
        folder, manifest = version_folder(name, version), manifest_path(name, version)
        self._refuse_named(name, version)
        if self._workspace.exists(manifest):
            content = self._workspace.read(manifest)
            self._workspace.delete(manifest)
            try:
                self._refuse_named(name, version)
            except RegistryError:
                self._workspace.write(manifest, content)
                raise
        for path in self._workspace.list(folder):
            self._workspace.delete(path)

    def _refuse_named(self, name: str, version: str) -> None:
        aliases = self.aliases(name)
        if version in (aliases.champion, aliases.challenger):
            raise RegistryError(
                f"{version} of {name} is in use: it is the champion or the challenger",
                cure="promote another version first",
            )

    def aliases(self, name: str) -> Aliases:
        """A model's aliases with their history; empty before the first change.

        Raises:
            RegistryError: the document cannot be read.
        """
        return self._parsed(name, self._document(name).read()[1])

    def resolve(self, name: str, version: str) -> str:
        """The version behind a version or an alias.

        Raises:
            RegistryError: no such model, version or alias, or the version's bundle is gone.
        """
        wanted: str | None = version
        if version in ("champion", "challenger"):
            wanted = self.aliases(name).named(version)
        if wanted is not None and _VERSION.fullmatch(wanted):
            if self._workspace.exists(manifest_path(name, wanted)):
                return wanted
            if wanted != version:
                raise RegistryError(
                    f"the {version} of {name} is {wanted}, whose bundle is gone from "
                    f"{self._workspace.uri(_folder(name))}",
                    cure=f"promote one of {self._known(name)}, or put {wanted} back from a backup",
                )
        raise RegistryError(
            f"{name} has no {version}" + ("" if version == wanted else " yet"),
            cure=f"versions of {name}: {self._known(name)}",
        )

    def uri(self, name: str, version: str) -> str:
        """The address of a version's bundle, by version or alias.

        Raises:
            RegistryError: as `resolve`.
        """
        return self._workspace.uri(version_folder(name, self.resolve(name, version)))

    def manifest(self, name: str, version: str) -> FileReference:
        """The bundle.json of a version or alias, by which its bundle is known.

        Raises:
            RegistryError: as `resolve`.
        """
        path = manifest_path(name, self.resolve(name, version))
        return FileReference(path=path, sha256=hashlib.sha256(self._workspace.read(path)).hexdigest())

    def read(self, name: str, version: str) -> BundleManifest:
        """What a version's bundle says of itself.

        Raises:
            BundleError: it cannot be read.
        """
        where = self._workspace.uri(version_folder(name, version))
        return read_manifest(self._workspace.read(manifest_path(name, version)), where)

    def show(self, name: str, version: str) -> Version:
        """One version, by version or alias.

        Raises:
            RegistryError: as `resolve`.
        """
        return self._row(name, self.resolve(name, version), self.aliases(name))

    def list(self, name: str) -> builtins.list[Version]:
        """A model's versions, oldest first; one that an alias names is listed even when its bundle is gone."""
        aliases = self.aliases(name)
        named = {version for version in (aliases.champion, aliases.challenger) if version is not None}
        versions = sorted({*self.versions(name), *named}, key=_number)
        return [self._row(name, version, aliases) for version in versions]

    def promote(
        self,
        name: str,
        version: str,
        reasons: tuple[str, ...],
        alias: Alias = "champion",
        instead_of: str | None = _ANY,
        by: str | None = None,
    ) -> AliasChange:
        """Let an alias name a version. A challenger that becomes champion is challenger no more.

        `instead_of` is the version (None: no version) that the decision was made against; the default accepts
        any. Promoting what the alias names already changes nothing and returns the change that made it so.

        Raises:
            RegistryError: no such version, or another one was promoted while the decision was made.
        """
        after = self.resolve(name, version)
        found: builtins.list[Aliases] = []

        def change(aliases: Aliases) -> Aliases:
            found.append(aliases)
            before = aliases.named(alias)
            if before == after:
                return aliases
            if instead_of not in (_ANY, before):
                raise RegistryError(
                    f"the {alias} of {name} is {before} now; the decision was made against {instead_of}",
                    cure=f"compare {after} with {before} and decide again",
                )
            changed = aliases.changed(alias, "promote", after, reasons, by)
            if alias == "champion" and changed.challenger == after:
                changed = changed.model_copy(update={"challenger": None})
            return changed

        promoted = self._update(name, change)
        if not self._workspace.exists(manifest_path(name, after)):  # unpublished at that very moment
            self._update(name, lambda aliases: found[-1] if aliases == promoted else aliases)
            raise RegistryError(
                f"{after} of {name} was removed while it was promoted; nothing is changed",
                cure=f"promote one of {self._known(name)}",
            )
        return promoted.last_change(alias)

    def rollback(self, name: str, reasons: tuple[str, ...], by: str | None = None) -> AliasChange:
        """Give the title back to the champion before this one; each rollback undoes one promotion.

        Raises:
            RegistryError: there was none before, or its bundle is gone.
        """

        def change(aliases: Aliases) -> Aliases:
            previous = aliases.previous_champion()
            if previous is None:
                raise RegistryError(
                    f"{name} has no champion before {aliases.champion}",
                    cure=f"promote one of {self._known(name)}",
                )
            self.resolve(name, previous)
            return aliases.changed("champion", "rollback", previous, reasons, by)

        return self._update(name, change).last_change("champion")

    def _update(self, name: str, change: Callable[[Aliases], Aliases]) -> Aliases:
        document = self._document(name)

        def apply(content: bytes | None) -> bytes:
            before = self._parsed(name, content)
            after = change(before)
            if after is before and content is not None:
                return content
            return after.model_dump_json(indent=2, by_alias=True).encode()

        number = document.update(apply)
        return self._parsed(name, document.read_version(number))

    def _claimed(self, name: str) -> str:
        claims = self._workspace.list(VERSION_CLAIM.folder(name=name))
        taken = [claim["version"] for claim in map(VERSION_CLAIM.fields, claims) if claim]
        number = max(map(_number, [*taken, *self.versions(name)]), default=0) + 1
        while not self._workspace.write_new(
            VERSION_CLAIM.path(name=name, version=f"v{number}"), _claim(timestamp())
        ):
            number += 1
        return f"v{number}"

    def _document(self, name: str) -> VersionedDocument:
        return VersionedDocument(self._workspace, _alias_folder(name))

    def _parsed(self, name: str, content: bytes | None) -> Aliases:
        try:
            return Aliases() if content is None else Aliases.model_validate_json(content)
        except ValidationError as error:
            raise RegistryError(
                f"the aliases of {name} cannot be read: {error.errors()[0]['msg']}",
                cure=f"delete the newest file of {self._workspace.uri(_alias_folder(name))}, "
                "or use the version of Lightbox that wrote it",
            ) from error

    def _row(self, name: str, version: str, aliases: Aliases) -> Version:
        held: tuple[Alias, ...] = ("champion", "challenger")
        manifest, problem = None, None
        if not self._workspace.exists(manifest_path(name, version)):
            problem = "its bundle is gone"
        else:
            try:
                manifest = self.read(name, version)
            except BundleError as error:
                problem = error.message
        return Version(
            name=name,
            version=version,
            uri=self._workspace.uri(version_folder(name, version)),
            aliases=tuple(alias for alias in held if aliases.named(alias) == version),
            manifest=manifest,
            problem=problem,
        )

    def _whole(self, folder: str) -> Iterator[tuple[str, str]]:
        """Name and version of every whole bundle below a folder."""
        for fields in map(VERSION_FILE.fields, self._workspace.list(folder)):
            if fields and fields["file"] == BUNDLE_FILE:
                yield fields["name"], fields["version"]

    def _known(self, name: str) -> str:
        return (
            ", ".join(self.versions(name))
            or f"none; models of this workspace: {', '.join(self.models()) or 'none'}"
        )


def version_folder(name: str, version: str) -> str:
    """Where a version's bundle stands below the workspace.

    Raises:
        RegistryError: no name that a model may have.
    """
    return VERSION_FILE.folder(name=_checked(name), version=version)


def manifest_path(name: str, version: str) -> str:
    """Where a version's bundle.json stands below the workspace."""
    return VERSION_FILE.path(name=_checked(name), version=version, file=BUNDLE_FILE)


def _folder(name: str) -> str:
    return VERSION_FILE.folder(name=_checked(name))


def _alias_folder(name: str) -> str:
    return ALIASES.folder(name=_checked(name))


def _checked(name: str) -> str:
    try:
        return checked_name(name)
    except ValueError as error:
        raise RegistryError(str(error), cure="use such a name") from error


def _number(version: str) -> int:
    return int(version[1:])


def _claim(time: datetime) -> bytes:
    """No two claims are alike, so that a store's answer that was lost is told from another publisher's claim."""
    return f'{{"time": "{time.isoformat()}", "token": "{secrets.token_hex(16)}"}}\n'.encode()
