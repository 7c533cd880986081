"""Bundles exported once, a registry of them for each test, and an endpoint that many tests share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.samples.endpoint_bundles import export_small_bundle, publish
from support.services.live_endpoint import Live, live

from deployments.endpoint.settings import ServeSettings
from tasks.models.version_report import keep_report
from tasks.stores.workspace import Workspace

REPORT = b"""<!doctype html><html><head><style>h1 { color: rgb(1, 2, 3) }</style></head>
<body><h1>Report of v1</h1><script>document.title = "ran"</script><img src="https://elsewhere.example/x"></body></html>"""
"""With what a report has, a style of its own, and with what it must not do."""


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three bundles of one model that differ in their figures."""
    folder = tmp_path_factory.mktemp("bundles")
    return [export_small_bundle(folder / str(seed), seed=seed) for seed in range(3)]


@pytest.fixture
def workspace(tmp_path: Path, bundles: list[Path]) -> Path:
    """A workspace with three versions, the first of them champion."""
    publish(tmp_path / "workspace", bundles)
    return tmp_path / "workspace"


@pytest.fixture
def settings(workspace: Path, tmp_path: Path) -> Callable[..., ServeSettings]:
    """Makes settings for that workspace."""

    def make(**changes: object) -> ServeSettings:
        given = {
            "workspace": str(workspace),
            "name": "slices",
            "cache_root": tmp_path / "cache",
            "threads": 2,
        }
        return ServeSettings.model_validate(given | changes)

    return make


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, bundles: list[Path]) -> Iterator[Live]:
    """An endpoint that tests share which only ask; it needs a key."""
    root = tmp_path_factory.mktemp("shared")
    publish(root / "workspace", bundles[:1])
    keep_report(Workspace(str(root / "workspace")), "slices", "v1", REPORT)
    given = ServeSettings(
        workspace=str(root / "workspace"), name="slices", cache_root=root / "cache", threads=2
    )
    with live(given) as found:
        yield found
