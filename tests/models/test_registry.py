"""Versions never change, names are never lost, and writers at once do not hurt each other."""

import json
import multiprocessing
import shutil
import uuid
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.samples.small_bundles import pixels
from support.services.azurite import Azurite

from tasks.errors import BundleError, RegistryError, WorkspaceError
from tasks.models.bundle import load_bundle
from tasks.models.manifest import amend
from tasks.models.registry import Registry
from tasks.stores.workspace import Workspace


@pytest.fixture(params=["local", "memory", pytest.param("azure", marks=pytest.mark.service)])
def workspace(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An empty workspace of each kind; its credentials are in the environment."""
    if request.param == "local":
        return Workspace(str(tmp_path / "workspace"))
    if request.param == "memory":
        return Workspace(f"memory://{uuid.uuid4().hex}/workspace")
    azurite: Azurite = request.getfixturevalue("azurite")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite.connection_string)
    with azurite.new_container() as container:
        return Workspace(f"az://{container.container_name}/workspace")


@pytest.fixture
def local(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path / "workspace"))


def test_versions_are_numbered_and_whole(workspace: Workspace, exported: Path, tmp_path: Path) -> None:
    registry = Registry(workspace)
    assert (registry.models(), registry.versions("small"), registry.list("small")) == ([], [], [])
    told: list[tuple[int, int | None]] = []
    assert registry.publish(exported, lambda done, total, _: told.append((done, total))) == "v1"
    assert (told[0], told[-1]) == ((0, 7), (7, 7))
    first = {path: workspace.read(path) for path in workspace.list("models/small/v1")}
    assert registry.publish(exported) == "v2"
    assert {path: workspace.read(path) for path in workspace.list("models/small/v1")} == first
    assert registry.versions("small") == ["v1", "v2"]
    assert registry.models() == ["small"]
    for version in ("v1", "v2"):
        shown = registry.show("small", version)
        assert (shown.version, shown.aliases, shown.problem) == (version, (), None)
        assert shown.manifest is not None
        assert shown.manifest.classes == ("no", "yes")
    assert registry.uri("small", "v2") == f"{workspace.url}/models/small/v2"


def test_a_published_bundle_predicts_as_the_exported_one(
    workspace: Workspace, exported: Path, tmp_path: Path
) -> None:
    registry = Registry(workspace)
    registry.publish(exported)
    bundle = load_bundle(registry.uri("small", "v1"), cache_root=tmp_path / "cache")
    bundle.verify()
    images = pixels(3)
    assert (bundle.predict_pixels(images) == load_bundle(exported).predict_pixels(images)).all()


def test_ten_comes_after_nine(local: Workspace, exported: Path) -> None:
    registry = Registry(local)
    assert [registry.publish(exported) for _ in range(10)] == [f"v{number}" for number in range(1, 11)]
    assert registry.versions("small")[-2:] == ["v9", "v10"]
    assert [row.version for row in registry.list("small")][-1] == "v10"


def test_aliases_and_their_history(workspace: Workspace, exported: Path) -> None:
    registry = Registry(workspace)
    for _ in range(3):
        registry.publish(exported)
    first = registry.promote("small", "v1", ("the first model passes the gate",))
    assert (first.action, first.before, first.after) == ("promote", None, "v1")
    registry.promote("small", "v2", ("not better by the margin",), alias="challenger")
    second = registry.promote("small", "v2", ("recall is higher", "specificity is equal"), instead_of="v1")
    assert (second.before, second.after) == ("v1", "v2")
    aliases = registry.aliases("small")
    assert (aliases.champion, aliases.challenger) == ("v2", None)
    assert [(line.alias, line.before, line.after) for line in aliases.history] == [
        ("champion", None, "v1"),
        ("challenger", None, "v2"),
        ("champion", "v1", "v2"),
    ]
    assert aliases.history[2].reasons == ("recall is higher", "specificity is equal")
    assert registry.resolve("small", "champion") == "v2"
    assert registry.show("small", "champion").aliases == ("champion",)
    assert [row.aliases for row in registry.list("small")] == [(), ("champion",), ()]
    document = workspace.list("models/small/aliases")[-1]
    written = json.loads(workspace.read(document))
    assert (written["history"][-1]["from"], written["history"][-1]["to"]) == ("v1", "v2")


def test_promoting_the_champion_again_changes_nothing(local: Workspace, exported: Path) -> None:
    registry = Registry(local)
    registry.publish(exported)
    first = registry.promote("small", "v1", ("first",))
    assert registry.promote("small", "v1", ("again",), instead_of="v7") == first
    assert len(registry.aliases("small").history) == 1


def test_a_decision_against_a_champion_that_is_no_more_is_refused(local: Workspace, exported: Path) -> None:
    registry = Registry(local)
    for _ in range(3):
        registry.publish(exported)
    registry.promote("small", "v1", ("first",), instead_of=None)
    registry.promote("small", "v2", ("better than v1",), instead_of="v1")
    for stale in ("v1", None):
        with pytest.raises(RegistryError, match=f"is v2 now; the decision was made against {stale}"):
            registry.promote("small", "v3", ("better than v1",), instead_of=stale)
    assert registry.aliases("small").champion == "v2"


def test_each_rollback_undoes_one_promotion(local: Workspace, exported: Path) -> None:
    registry = Registry(local)
    for _ in range(4):
        registry.publish(exported)
    for version in ("v1", "v2", "v3"):
        registry.promote("small", version, ("better",))
    back = registry.rollback("small", ("wrong on the new scanner",))
    assert (back.action, back.before, back.after) == ("rollback", "v3", "v2")
    assert back.reasons == ("wrong on the new scanner",)
    registry.promote("small", "v4", ("better",))
    assert [registry.rollback("small", ("worse",)).after for _ in range(2)] == ["v2", "v1"]
    with pytest.raises(RegistryError, match="no champion before v1"):
        registry.rollback("small", ("worse",))
    actions = [line.action for line in registry.aliases("small").history]
    assert actions == ["promote"] * 3 + ["rollback", "promote", "rollback", "rollback"]


def test_a_champion_whose_bundle_is_gone_is_reported(local: Workspace, exported: Path) -> None:
    registry = Registry(local)
    for _ in range(2):
        registry.publish(exported)
    registry.promote("small", "v1", ("first",))
    registry.promote("small", "v2", ("better",))
    shutil.rmtree(Path(local.url) / "models" / "small" / "v2")
    with pytest.raises(RegistryError, match="the champion of small is v2, whose bundle is gone") as caught:
        registry.uri("small", "champion")
    assert "v1" in caught.value.cure
    rows = {row.version: (row.aliases, row.problem) for row in registry.list("small")}
    assert rows == {"v1": ((), None), "v2": (("champion",), "its bundle is gone")}
    assert registry.rollback("small", ("v2 is gone",)).after == "v1"
    registry.promote("small", registry.publish(exported), ("better",))
    shutil.rmtree(Path(local.url) / "models" / "small" / "v1")
    with pytest.raises(RegistryError, match="no v1"):
        registry.rollback("small", ("worse",))
    assert registry.aliases("small").champion == "v3", "a number is never given twice"


def test_a_version_that_cannot_be_read_is_listed_with_the_reason(local: Workspace, exported: Path) -> None:
    registry = Registry(local)
    registry.publish(exported)
    local.write("models/small/v1/bundle.json", b'{"schema_version": 9}')
    (row,) = registry.list("small")
    assert row.manifest is None
    assert row.problem is not None
    assert "bundle schema 9" in row.problem


def test_unknown_names_are_told_with_what_there_is(local: Workspace, exported: Path) -> None:
    registry = Registry(local)
    with pytest.raises(RegistryError, match="other has no champion yet") as caught:
        registry.resolve("other", "champion")
    assert "models of this workspace: none" in caught.value.cure
    registry.publish(exported)
    with pytest.raises(RegistryError, match="other has no v1") as caught:
        registry.show("other", "v1")
    assert "models of this workspace: small" in caught.value.cure
    for version in ("v2", "v0", "latest", "../small/v1", ""):
        with pytest.raises(RegistryError, match="small has no") as caught:
            registry.promote("small", version, ("why not",))
        assert caught.value.cure == "versions of small: v1"
    with pytest.raises(RegistryError, match="is no model name"):
        registry.versions("../small")


def test_aliases_that_cannot_be_read_are_no_aliases_to_overwrite(local: Workspace, exported: Path) -> None:
    registry = Registry(local)
    registry.publish(exported)
    local.write("models/small/aliases/00000001.json", b'{"schema_version": 2}')
    for call in (
        lambda: registry.aliases("small"),
        lambda: registry.promote("small", "v1", ("first",)),
        lambda: registry.rollback("small", ("worse",)),
    ):
        with pytest.raises(RegistryError, match="aliases of small cannot be read"):
            call()
    assert local.list("models/small/aliases") == ["models/small/aliases/00000001.json"]


def test_a_damaged_bundle_is_not_published(local: Workspace, exported: Path, tmp_path: Path) -> None:
    spoilt = Path(shutil.copytree(exported, tmp_path / "spoilt"))
    (spoilt / "member-2.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match=r"member-2\.onnx is missing or is not what bundle\.json says"):
        Registry(local).publish(spoilt)
    with pytest.raises(BundleError, match=r"holds no readable bundle\.json"):
        Registry(local).publish(tmp_path)
    assert local.list("models") == []


class Failing(Workspace):
    """A workspace whose store refuses one file."""

    def __init__(self, url: str, refused: str) -> None:
        super().__init__(url)
        self._refused = refused

    def upload(self, local: Path, rel: str) -> None:
        if rel.endswith(self._refused):
            raise WorkspaceError(f"{rel}: no space left", cure="free some")
        super().upload(local, rel)


def test_a_failed_publication_leaves_no_file_and_no_version(tmp_path: Path, exported: Path) -> None:
    failing = Failing(str(tmp_path / "workspace"), "model.safetensors")
    with pytest.raises(WorkspaceError, match="no space left"):
        Registry(failing).publish(exported)
    assert failing.list("models/small/v1") == []
    registry = Registry(Workspace(failing.url))
    assert registry.list("small") == []
    assert registry.publish(exported) == "v2"


# --- several processes


def at_once(work: Callable[..., Any], *calls: tuple[Any, ...]) -> list[Any]:
    with ProcessPoolExecutor(len(calls), mp_context=multiprocessing.get_context("spawn")) as pool:
        return [future.result() for future in [pool.submit(work, *call) for call in calls]]


def publish_often(url: str, bundle: Path, times: int) -> list[str]:
    registry = Registry(Workspace(url))
    return [registry.publish(bundle) for _ in range(times)]


def promote_often(url: str, versions: list[str], who: str) -> list[tuple[str | None, str | None]]:
    registry = Registry(Workspace(url))
    changes = [registry.promote("small", version, (who,)) for version in versions]
    return [(change.before, change.after) for change in changes]


@pytest.mark.slow
def test_publishers_at_once_get_a_version_each(local: Workspace, exported: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(exported, tmp_path / "other"))
    amend(other, metrics={"recall": 0.5})
    one, two = at_once(publish_often, (local.url, exported, 8), (local.url, other, 8))
    assert sorted([*one, *two], key=lambda version: int(version[1:])) == Registry(local).versions("small")
    assert len({*one, *two}) == 16
    for versions, bundle in ((one, exported), (two, other)):
        for version in versions:
            for path in bundle.iterdir():
                assert local.read(f"models/small/{version}/{path.name}") == path.read_bytes()


@pytest.mark.slow
def test_promoters_at_once_lose_nothing_of_each_other(local: Workspace, exported: Path) -> None:
    registry = Registry(local)
    versions = [registry.publish(exported) for _ in range(4)]
    at_once(
        promote_often,
        (local.url, [versions[0], versions[1]] * 15, "one"),
        (local.url, [versions[2], versions[3]] * 15, "two"),
    )
    history = registry.aliases("small").history
    assert [sum(line.reasons == (who,) for line in history) for who in ("one", "two")] == [30, 30]
    assert [line.before for line in history[1:]] == [line.after for line in history[:-1]]
    assert registry.aliases("small").champion == history[-1].after


# --- versions that are not needed any more


def test_a_version_goes_whole_and_its_number_is_not_given_again(workspace: Workspace, exported: Path) -> None:
    registry = Registry(workspace)
    for _ in range(3):
        registry.publish(exported)
    registry.promote("small", "v2", ("good",))
    registry.unpublish("small", "v3")
    assert registry.versions("small") == ["v1", "v2"]
    assert workspace.list("models/small/v3") == []
    with pytest.raises(RegistryError, match="v2 of small is in use"):
        registry.unpublish("small", "v2")
    workspace.delete("models/small/v1/bundle.json")  # a removal that was stopped
    registry.unpublish("small", "v1")
    assert workspace.list("models/small/v1") == []
    assert registry.publish(exported) == "v4"
    load_bundle(registry.uri("small", "champion")).verify()


def test_a_version_that_is_promoted_while_it_goes_comes_back(
    local: Workspace, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(local)
    registry.publish(exported)
    delete = Workspace.delete

    def promote_first(self: Workspace, rel: str) -> None:
        monkeypatch.undo()  # another process resolves the version just before its bundle.json goes
        Registry(self).promote("small", "v1", ("by hand",))
        delete(self, rel)

    monkeypatch.setattr(Workspace, "delete", promote_first)
    with pytest.raises(RegistryError, match="in use"):
        registry.unpublish("small", "v1")
    load_bundle(registry.uri("small", "champion")).verify()
