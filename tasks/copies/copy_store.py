"""What a data set knows of its copies from run to run, so that a retrain compares only what is new."""

import hashlib
from collections.abc import Collection, Sequence

from tasks.copies.content import Content
from tasks.copies.feature_scale import LEAST_CONTENTS, ContentFeatures, FeatureScale
from tasks.copies.found_copies import FoundCopies, copies_among
from tasks.copies.near_copies import SEARCH_VERSION, CopyIndex
from tasks.copies.settings import NearCopyRule
from tasks.errors import WorkspaceError
from tasks.stores.layout import COPY_PAIRS, FEATURE_SCALE
from tasks.stores.workspace import Workspace
from tasks.work.progress import Progress, silent


class CopyStore:
    """A data set's feature scale and its pairs of copies, as the workspace keeps them."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self._workspace, self._name = workspace, name

    def find(
        self,
        contents: Sequence[Content],
        features: ContentFeatures,
        rule: NearCopyRule,
        not_copies: Collection[frozenset[str]] = (),
        progress: Progress = silent,
    ) -> FoundCopies:
        """As `copies_among`; what earlier runs searched by the same rule on the same scale is not searched again.

        The scale is kept from LEAST_CONTENTS contents on. Of two writers of pairs the last one wins; each writes what
        is true by itself.
        """
        scale, lasting = self._scale(features)
        digest = _digest(rule.model_dump_json().encode(), scale.to_bytes())
        path = COPY_PAIRS.path(name=self._name, digest=digest)
        known = self._known(path) if lasting else None
        found = copies_among(
            contents,
            rule,
            features=features,
            scale=scale,
            known=known,
            not_copies=not_copies,
            progress=progress,
        )
        if lasting and (known is None or found.index.to_bytes() != known.to_bytes()):
            self._workspace.write(path, found.index.to_bytes())
        return found

    def _known(self, path: str) -> CopyIndex | None:
        if not self._workspace.exists(path):
            return None
        data = self._workspace.read(path)
        try:
            return CopyIndex.from_bytes(data)
        except WorkspaceError:
            return None  # damaged: all is searched again

    def _scale(self, features: ContentFeatures) -> tuple[FeatureScale, bool]:
        """The scale, and whether it is the lasting one."""
        path = FEATURE_SCALE.path(name=self._name, digest=_digest(features.version.encode()))
        if self._workspace.exists(path):
            return FeatureScale.from_bytes(self._workspace.read(path)), True
        scale = FeatureScale.of(features.values)
        if len(features.sha256s) < LEAST_CONTENTS:
            return scale, False
        if self._workspace.write_new(path, scale.to_bytes()):
            return scale, True
        return FeatureScale.from_bytes(self._workspace.read(path)), True  # another run came first


def _digest(*parts: bytes) -> str:
    told = hashlib.sha256(f"{SEARCH_VERSION}".encode())
    for part in parts:
        told.update(hashlib.sha256(part).digest())
    return told.hexdigest()[:16]
