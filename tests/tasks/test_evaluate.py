"""Figures of the bundle itself, each image judged by the member that never saw it, by a threshold chosen elsewhere."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
from support.runs.staged_run import CHECKS, IMAGES, NAME, StagedRun, write_pictures

from tasks.catalogue import build_catalogue, copies_ever, read_catalogue
from tasks.data.catalogue_table import CatalogueTable
from tasks.data.settings import ImagesSource
from tasks.engine.run import open_run
from tasks.evaluation.metrics import Evaluation
from tasks.ingest import ingest
from tasks.models.bundle import load_bundle
from tasks.models.manifest import read_manifest
from tasks.prepare import open_images


def test_each_image_is_judged_by_the_member_that_never_saw_it(staged: StagedRun) -> None:
    workspace = staged.run.open_workspace()
    rows = pd.read_parquet(io.BytesIO(workspace.read(staged.evaluated.predictions.path)))
    assert sorted(rows["path"]) == sorted(read_catalogue(staged.run, staged.catalogue).frame["path"])
    manifest = read_manifest(workspace.read(staged.evaluated.manifest.path), "the bundle")
    rules = {rule.fold: rule for rule in manifest.fold_rules}
    bundle = load_bundle(workspace.uri(staged.bundle.folder))
    images = open_images(staged.run, staged.pixels)
    for fold, some in rows.groupby("fold"):
        rule = rules[int(str(fold))]
        logits = (
            bundle.predict_pixels(images.take(some["sha256"].tolist()), member=int(str(fold)))
            / rule.temperature
        )
        chance = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
        np.testing.assert_allclose(some["probability_yes"], chance, atol=1e-6)
        assert set(some["threshold"]) == {rule.threshold}
        assert rule.threshold is not None
        assert np.array_equal(some["predicted"] == "yes", some["probability_yes"] >= rule.threshold)


def test_the_files_say_what_the_record_says(staged: StagedRun) -> None:
    workspace = staged.run.open_workspace()
    kept = Evaluation.model_validate_json(workspace.read(staged.evaluated.evaluation_file.path))
    assert kept == staged.evaluated.evaluation
    assert (kept.n, kept.positive_class, kept.protocol) == (IMAGES, "yes", "cross_validation")
    manifest = read_manifest(workspace.read(staged.evaluated.manifest.path), "the bundle")
    assert (manifest.threshold, manifest.temperature) == (
        staged.evaluated.threshold,
        staged.evaluated.temperature,
    )
    assert manifest.metrics is not None
    assert manifest.metrics["recall"] == kept.recall.model_dump(mode="json")
    assert (staged.evaluated.not_reported, staged.evaluated.leak) == (0, None)


def test_contents_that_are_gone_still_count_as_of_their_group(tmp_path: Path) -> None:
    """A member may have learnt from them."""
    images, run = write_pictures(tmp_path / "images", 24), open_run(str(tmp_path / "ws"), None, NAME)
    paths = sorted(path.relative_to(images) for path in images.rglob("*.png"))
    rows = [f"{path},{path.parent},patient {place // 2}" for place, path in enumerate(paths)]
    digests = [hashlib.sha256((images / path).read_bytes()).hexdigest() for path in paths]

    def catalogued(rows: list[str]) -> CatalogueTable:
        manifest = tmp_path / "labels.csv"
        manifest.write_text("\n".join(["path,label,group", *rows]))
        source = ImagesSource(url=str(images), manifest=str(manifest))
        return read_catalogue(run, build_catalogue(run, ingest(run, source).listing, CHECKS, "yes"))

    catalogued(rows)
    (images / paths[0]).unlink()
    left = catalogued(rows[1:])
    group = dict(zip(left.frame["sha256"], left.frame["group"], strict=True))[digests[1]]
    assert sorted(copies_ever(run, left)[group]) == sorted(digests[:2])
