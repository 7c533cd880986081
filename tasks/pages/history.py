"""What the report says of the version before: read from the registry and the catalogue that it was made from."""

import io

import pandas as pd
from pydantic import ValidationError

from tasks.data.catalogue_table import CatalogueTable
from tasks.evaluation.intervals import Estimate
from tasks.models.manifest import BundleManifest
from tasks.models.registry import Registry
from tasks.pages.changes import VersionFacts, changes_between
from tasks.pages.content import History
from tasks.stores.layout import CATALOGUE_ROWS, catalogue_path
from tasks.stores.workspace import Workspace

_FIGURES = ("recall", "specificity", "auc")


def history(workspace: Workspace, name: str, version: str, table: CatalogueTable) -> History | None:
    """What changed since the last version that was published before this one; None for the first."""
    registry = Registry(workspace)
    versions = registry.versions(name)
    place = versions.index(version)
    if place == 0:
        return None
    before = versions[place - 1]
    old, new = (registry.read(name, number) for number in (before, version))
    return History(
        version=before,
        created=f"{old.created:%Y-%m-%d}",
        changes=changes_between(_facts(old, _labels_of(workspace, old)), _facts(new, _labels(table.frame))),
    )


def _facts(manifest: BundleManifest, labels: dict[str, str] | None) -> VersionFacts:
    figures = {}
    for name in _FIGURES:
        try:
            figures[name] = Estimate.model_validate(manifest.metrics.get(name))
        except ValidationError:
            continue  # a bundle published without figures
    return VersionFacts(
        labels=labels,
        figures=figures,
        recipe={
            "backbone": manifest.backbone,
            "pretrained weights": manifest.weights.source,
            "served": manifest.served,
            **manifest.recipe,
        },
        threshold=manifest.threshold,
        packages=manifest.packages,
    )


def _labels_of(workspace: Workspace, manifest: BundleManifest) -> dict[str, str] | None:
    path = catalogue_path(manifest.name, manifest.dataset_digest, CATALOGUE_ROWS)
    if not workspace.exists(path):
        return None
    return _labels(pd.read_parquet(io.BytesIO(workspace.read(path)), columns=["sha256", "label"]))


def _labels(frame: pd.DataFrame) -> dict[str, str]:
    return dict(zip(frame["sha256"], frame["label"], strict=True))
