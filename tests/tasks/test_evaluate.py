"""Figures of the bundle itself, each image judged by the member that never saw it, by a threshold chosen elsewhere."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import logit
from support.runs.staged_run import CHECKS, FOLDS, IMAGES, NAME, StagedRun, write_pictures

from tasks.catalogue import build_catalogue, copies_ever, read_catalogue
from tasks.data.catalogue_table import CatalogueTable
from tasks.data.settings import ImagesSource
from tasks.engine.run import open_run
from tasks.evaluation.metrics import Evaluation
from tasks.evaluation.parts import PARTS
from tasks.ingest import ingest
from tasks.models.bundle import load_bundle, probabilities
from tasks.models.manifest import read_manifest
from tasks.prepare import open_images


def test_each_image_is_judged_by_the_member_that_never_saw_it(staged: StagedRun) -> None:
    workspace = staged.run.open_workspace()
    rows = pd.read_parquet(io.BytesIO(workspace.read(staged.evaluated.predictions.path)))
    assert sorted(rows["path"]) == sorted(read_catalogue(staged.run, staged.catalogue).frame["path"])
    bundle = load_bundle(workspace.uri(staged.bundle.folder))
    images = open_images(staged.run, staged.pixels)
    for (_fold, _threshold), some in rows.groupby(["fold", "threshold"]):
        logits = bundle.predict_pixels(images.take(some["sha256"].tolist()), member=int(some["fold"].iloc[0]))
        said, score = logits[:, 1] - logits[:, 0], logit(some["probability_yes"].to_numpy())
        # Of one member and one part: a straight line from what it says to what is told.
        line = np.polynomial.Polynomial.fit(said, score, 1)
        np.testing.assert_allclose(line(said), score, atol=1e-5)
    assert 1 < rows["threshold"].nunique() <= PARTS
    assert rows.groupby("group")["threshold"].nunique().max() == 1
    assert np.array_equal(rows["predicted"] == "yes", rows["probability_yes"] >= rows["threshold"])


def test_what_is_served_is_on_the_scale_that_was_judged(staged: StagedRun) -> None:
    """The mean of the members, each moved by its offset, is the mean of the members: the offsets cancel."""
    workspace = staged.run.open_workspace()
    manifest = read_manifest(workspace.read(staged.evaluated.manifest.path), "the bundle")
    offsets = np.array([member.offsets for member in manifest.members])
    assert offsets.shape == (FOLDS, 2)
    np.testing.assert_allclose(offsets.mean(axis=0), 0, atol=1e-9)
    bundle = load_bundle(workspace.uri(staged.bundle.folder))
    pixels = open_images(staged.run, staged.pixels).take(
        read_catalogue(staged.run, staged.catalogue).contents["sha256"].tolist()[:4]
    )
    moved = [bundle.predict_pixels(pixels, k) + offsets[k] for k in range(FOLDS)]
    np.testing.assert_allclose(
        probabilities(np.mean(moved, axis=0), manifest.temperature, manifest.offsets),
        probabilities(bundle.predict_pixels(pixels), manifest.temperature, manifest.offsets),
        atol=1e-4,
    )


def test_each_member_is_told_of(staged: StagedRun) -> None:
    members = staged.evaluated.evaluation.members
    assert [member.index for member in members] == list(range(FOLDS))
    assert sum(member.n for member in members) == IMAGES


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
