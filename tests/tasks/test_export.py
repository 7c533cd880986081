"""The bundle of a run: every file is what the record says, and says what torch says."""

import hashlib

import numpy as np
import torch
from support.runs.staged_run import NAME, RECIPE, StagedRun

from tasks.catalogue import read_catalogue
from tasks.fine_tune import load_network
from tasks.models.bundle import load_bundle
from tasks.models.manifest import read_manifest
from tasks.models.training_images import TrainingImages
from tasks.prepare import open_images
from tasks.training.backbones import BACKBONES


def test_every_file_is_what_the_record_says(staged: StagedRun) -> None:
    workspace = staged.run.open_workspace()
    for file in staged.bundle.contents:
        assert hashlib.sha256(workspace.read(file.path)).hexdigest() == file.sha256, file.path
    manifest = read_manifest(workspace.read(f"{staged.bundle.folder}/bundle.json"), "the bundle")
    assert set(manifest.files) | {"bundle.json"} == {
        file.path.rpartition("/")[2] for file in staged.bundle.contents
    }
    assert (manifest.name, manifest.classes, manifest.positive_class) == (NAME, ("no", "yes"), "yes")
    assert (manifest.backbone, manifest.weights.source) == (RECIPE.backbone, "none")
    assert (manifest.threshold, manifest.dataset_digest) == (None, staged.catalogue.digest_of_rows)
    assert max(manifest.parity.values()) == staged.bundle.parity < 1e-4


def test_graphs_say_what_the_networks_say(staged: StagedRun) -> None:
    bundle = load_bundle(staged.run.open_workspace().uri(staged.bundle.folder))
    contents = read_catalogue(staged.run, staged.catalogue).contents["sha256"].tolist()
    pixels = open_images(staged.run, staged.pixels).take(contents)
    spec = BACKBONES[RECIPE.backbone]
    images = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - torch.tensor(spec.mean).view(3, 1, 1)) / (
        torch.tensor(spec.std).view(3, 1, 1)
    )
    for index, member in enumerate(staged.members.members):
        with torch.no_grad():
            expected = load_network(staged.run, member, 2)(images).numpy()
        np.testing.assert_allclose(bundle.predict_pixels(pixels, member=index), expected, atol=1e-3)


def test_who_learnt_from_what_stands_in_the_bundle(staged: StagedRun) -> None:
    path = f"{staged.bundle.folder}/training_images.json"
    known = TrainingImages.parse(staged.run.open_workspace().read(path), path)
    table = read_catalogue(staged.run, staged.catalogue).frame
    for sha256, group, fold in zip(table["sha256"], table["group"], table["fold"], strict=True):
        assert known.seen_by(sha256, group) == {0, 1, 2} - {fold}
