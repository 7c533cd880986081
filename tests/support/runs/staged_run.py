"""One run on small pictures with the record of every stage at hand: what the tests of single stages begin from."""

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from PIL import Image
from support.samples.disc_pictures import picture

from tasks.audit import Audit, audit_images
from tasks.catalogue import Catalogue, build_catalogue
from tasks.copies.settings import NearCopyRule
from tasks.data.settings import CatalogueSettings, ImagesSource
from tasks.data.training_view import plan_members
from tasks.engine.run import Run, open_run
from tasks.evaluate import EvaluatedBundle, evaluate_bundle
from tasks.evaluation.settings import ThresholdRule
from tasks.export import ExportedBundle, export_bundle
from tasks.fine_tune import TrainedMembers, train_member
from tasks.images.settings import Preprocessing
from tasks.ingest import Listing, ingest
from tasks.predict import UnseenPredictions, predict_unseen
from tasks.prepare import ImageCache, prepare_images
from tasks.training.recipes import Probe, TrainingOptions, WeightsChoice

NAME = "discs"
IMAGES = 36
FOLDS = 3
CHECKS = CatalogueSettings(n_folds=FOLDS, protocol="cross_validation", copies=NearCopyRule(search=False))
RECIPE = Probe(
    backbone="resnet18",
    weights=WeightsChoice(source="none"),
    preprocessing=Preprocessing(size_px=32),
    test_views=("identity",),
    views=1,
    inner_folds=2,
)
"""A linear head on a network that starts at random: seconds, and no weights to be had."""
OPTIONS = TrainingOptions(seed=0, device="cpu")


@dataclass(frozen=True)
class StagedRun:
    """A run as far as its evaluation. Not to be changed: begin another run in its workspace."""

    cache: Path
    run: Run
    listing: Listing
    catalogue: Catalogue
    pixels: ImageCache
    members: TrainedMembers
    bundle: ExportedBundle
    predictions: UnseenPredictions
    evaluated: EvaluatedBundle
    audit: Audit

    def another_run(self) -> Run:
        """A later run of the same data set."""
        return open_run(self.run.workspace, None, NAME)


def write_pictures(folder: Path, n: int = IMAGES) -> Path:
    """`n` pictures of 64 x 64 px, every second one with a disc, below `no` and `yes`."""
    for number in range(n):
        label = "yes" if number % 2 else "no"
        (folder / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number, label == "yes")).save(folder / label / f"{number:02d}.png")
    return folder


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the pictures."""
    return write_pictures(tmp_path_factory.mktemp("discs"))


@pytest.fixture(scope="session")
def staged(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> StagedRun:
    """The run."""
    folder = tmp_path_factory.mktemp("staged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIGHTBOX_CACHE", str(folder / "cache"))
        run = open_run(str(folder / "ws"), None, NAME)
        listing = ingest(run, ImagesSource(url=str(discs))).listing
        catalogue = build_catalogue(run, listing, CHECKS, "yes")
        pixels = prepare_images(run, listing, catalogue, RECIPE.preprocessing)
        plans = plan_members(catalogue.protocol, catalogue.n_folds)
        members = TrainedMembers(
            members=tuple(train_member(run, catalogue, pixels, RECIPE, plan, OPTIONS) for plan in plans),
            refit=None,
        )
        bundle = export_bundle(run, catalogue, (pixels,), members)
        predictions = predict_unseen(run, listing, catalogue, bundle.manifest)
        evaluated = evaluate_bundle(run, listing, catalogue, predictions, ThresholdRule())
        audit = audit_images(run, catalogue)
    return StagedRun(
        *(folder / "cache", run, listing, catalogue, pixels, members, bundle, predictions, evaluated, audit)
    )


@pytest.fixture
def staged_copy(staged: StagedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StagedRun:
    """The run in a workspace and with a cache of the test's own.

    Files of the workspace are linked: it replaces them and never changes one.
    """
    shutil.copytree(staged.run.workspace, tmp_path / "ws", copy_function=os.link)
    shutil.copytree(staged.cache, tmp_path / "cache")
    monkeypatch.setenv("LIGHTBOX_CACHE", str(tmp_path / "cache"))
    return replace(staged, run=staged.run.model_copy(update={"workspace": str(tmp_path / "ws")}))
