"""A grown workspace is pruned: the dry run changes nothing, and afterwards everything that is left works."""

import json
import os
from pathlib import Path

import pytest
from support.runs.growing_data import NAME, Grown
from support.runs.main_job import Done, lightbox

from tasks.models.bundle import load_bundle
from tasks.models.registry import Registry
from tasks.stores.layout import MARK
from tasks.stores.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def files_of(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }


def prune(grown: Grown, *more: str) -> Done:
    where = ("workspace", "prune", "--workspace", grown.workspace)
    done = lightbox(*where, "--keep", "2", *more, cache=grown.cache)
    assert done.returncode == 0, done.stderr
    return done


def test_a_workspace_is_pruned_and_goes_on(grown_copy: Grown) -> None:
    grown = grown_copy
    registry = Registry(Workspace(str(grown.workspace)))
    aliases = registry.aliases(NAME)
    before = files_of(grown.workspace)
    needed = {aliases.champion, aliases.challenger, *aliases.former_champions(), "v9", "v10"} - {None}
    assert len(needed) < len(registry.versions(NAME)) == 10

    # All is younger than a day: nothing goes. A dry run changes nothing.
    assert json.loads(prune(grown, "--json", "-").stdout)["removed"] == []
    planned = json.loads(prune(grown, "--min-age-hours", "0", "--json", "-").stdout)
    told = prune(grown, "--min-age-hours", "0").stdout
    assert files_of(grown.workspace) == before
    assert "Nothing was changed" in told
    assert "champion" in told

    # What is planned goes, and nothing else; a second time finds nothing.
    done = json.loads(prune(grown, "--min-age-hours", "0", "--apply", "--json", "-").stdout)
    going = {path for item in planned["removed"] for path in item["paths"]}
    assert {path for item in done["removed"] for path in item["paths"]} == going
    after = files_of(grown.workspace)
    assert before.keys() - after.keys() == going
    assert sum(after.values()) < 0.75 * sum(before.values())
    assert not [
        path
        for path, folders, files in os.walk(grown.workspace)
        if not folders and not files
        if ".tmp" not in path
    ]
    assert json.loads(prune(grown, "--min-age-hours", "0", "--apply", "--json", "-").stdout)["removed"] == []

    # Aliases, versions, rollback and loading work.
    assert registry.aliases(NAME) == aliases
    assert set(registry.versions(NAME)) == needed
    listed = lightbox("models", "list", "--workspace", grown.workspace, "--json", "-", cache=grown.cache)
    assert all(row["problem"] is None for row in json.loads(listed.stdout))
    for version in needed:
        load_bundle(registry.uri(NAME, str(version))).verify()
        report = [path for path in after if path.endswith("report/index.html")]
    assert len(report) >= len(needed)

    # An unchanged retrain takes the kept results; a changed one trains again and finds its champion.
    again = grown.retrain()
    assert (again.version, again.champion) == ("v10", aliases.champion)
    assert {"catalogue", "prepare", "export", "evaluate", "publish"} <= set(again.reused)
    where = ("--workspace", grown.workspace, "--name", NAME)
    rolled = lightbox("models", "rollback", *where, "--reason", "test", cache=grown.cache)
    assert rolled.returncode == 0, rolled.stderr
    assert registry.aliases(NAME).champion == aliases.previous_champion()
    load_bundle(registry.uri(NAME, "champion")).verify()


def test_a_workspace_is_shown(grown: Grown) -> None:
    shown = lightbox("workspace", "show", "--workspace", grown.workspace, "--json", "-", cache=grown.cache)
    rows = json.loads(shown.stdout)
    files = {path: size for path, size in files_of(grown.workspace).items() if path != MARK}
    assert sum(row["size_bytes"] for row in rows) == sum(files.values())
    assert {(row["kind"], row["name"]) for row in rows} >= {
        ("models", NAME),
        ("runs", NAME),
        ("image cache", ""),
    }


@pytest.mark.parametrize("wrong", [("--keep", "0"), ("--keep", "1", "--name", "absent")])
def test_a_wrong_request_is_refused(grown: Grown, wrong: tuple[str, ...]) -> None:
    done = lightbox(
        "workspace", "prune", "--workspace", grown.workspace, *wrong, "--apply", cache=grown.cache
    )
    assert done.returncode == 2
    assert "cure:" in done.stderr
