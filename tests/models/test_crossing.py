"""Promoting crosses removing, and two publishers take numbers at once: forced orders of what can happen."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from support.samples.stored_workspace import WORKSPACE

from tasks.errors import RegistryError
from tasks.ingest import Listing
from tasks.models.alias_document import Aliases
from tasks.models.registry import Registry, manifest_path
from tasks.stores.layout import VERSION_CLAIM
from tasks.stores.workspace import Workspace

NAME = "stored"
FIXED = datetime(2027, 1, 31, tzinfo=UTC)


class Crossed(Registry):
    """Where the version is removed after it was found, and before the alias is written."""

    removes: str | None = None

    def _update(self, name: str, change: Callable[[Aliases], Aliases]) -> Aliases:
        if self.removes is not None:
            self._workspace.delete(manifest_path(name, self.removes))
            self.removes = None
        return super()._update(name, change)


@pytest.mark.usefixtures("stored_listing")
def test_an_alias_never_names_a_version_that_was_removed_at_that_moment() -> None:
    registry = Crossed(Workspace(WORKSPACE))
    before = registry.aliases(NAME)
    other = "v1" if before.champion == "v2" else "v2"
    registry.removes = other
    with pytest.raises(RegistryError, match=f"{other} of {NAME} was removed while it was promoted"):
        registry.promote(NAME, other, ("test",))
    assert registry.aliases(NAME) == before


def test_two_claims_of_a_number_are_never_alike(
    stored_listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store whose answer is lost is asked again, and takes equal content for one's own."""
    assert stored_listing.images
    workspace = Workspace(WORKSPACE)
    monkeypatch.setattr("tasks.models.registry.timestamp", lambda: FIXED)
    claims = {workspace.read(VERSION_CLAIM.path(name=NAME, version=_claimed(workspace))) for _ in range(2)}
    assert len(claims) == 2


def _claimed(workspace: Workspace) -> str:
    return Registry(workspace)._claimed(NAME)


@pytest.mark.usefixtures("stored_listing")
def test_who_changed_an_alias_stands_in_its_history() -> None:
    """What 0.1.0 wrote of nobody is read, and goes on."""
    registry = Registry(Workspace(WORKSPACE))
    assert {change.by for change in registry.aliases(NAME).history} == {None}
    other = "v1" if registry.aliases(NAME).champion == "v2" else "v2"
    assert registry.promote(NAME, other, ("test",), by="ann").by == "ann"
    assert registry.rollback(NAME, ("test",), "bob").by == "bob"
    assert [change.by for change in registry.aliases(NAME).history][-2:] == ["ann", "bob"]
