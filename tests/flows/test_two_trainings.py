"""Two trainings in one run: each node has files of its own, and a file is not taken for another's."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from flows.config import TrainingSettings
from flows.fine_tune import fine_tune, read_trained
from tasks.automl.chosen import ChosenRecipes
from tasks.catalogue import Catalogue, build_catalogue
from tasks.data.settings import CatalogueSettings, ImagesSource
from tasks.demo.data_set import DemoSummary
from tasks.engine.run import Run, new_run_id, open_run
from tasks.engine.stage import timed_stages
from tasks.errors import WorkspaceError
from tasks.export import ExportedBundle, export_bundle
from tasks.fine_tune import TrainedMembers, load_network
from tasks.images.settings import Preprocessing
from tasks.ingest import ingest
from tasks.models.bundle import load_bundle
from tasks.prepare import ImageCache, prepare_images
from tasks.training.recipes import Probe, WeightsChoice

TINY = Probe(
    backbone="resnet18",
    weights=WeightsChoice(source="none"),
    preprocessing=Preprocessing(size_px=32, fit="squash", crop_to_content=False),
    views=1,
    inner_folds=2,
)
"""A recipe that trains in a second."""

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
"""Pictures by which two networks are told apart."""


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to train, and its parts."""

    run: Run
    catalogue: Catalogue
    pixels: ImageCache

    def train(self, run: Run, seed: int) -> TrainedMembers:
        """Train a model of three members."""
        members = fine_tune.fn(
            *(run, self.catalogue, ChosenRecipes.same(TINY, 3), (self.pixels,)),
            *(TrainingSettings(device="cpu", seed=seed), "average"),
        )
        assert isinstance(members, TrainedMembers)
        return members

    def export(self, run: Run, members: TrainedMembers) -> ExportedBundle:
        """Make its bundle."""
        return export_bundle(run, self.catalogue, (self.pixels,), members)


@pytest.fixture
def prepared(small_demo: DemoSummary, tmp_path: Path) -> Prepared:
    run = open_run(str(tmp_path / "ws"), None, "small")
    listing = ingest(run, ImagesSource(url=str(small_demo.images))).listing
    checks = CatalogueSettings(n_folds=3, protocol="cross_validation")
    catalogue = build_catalogue(run, listing, checks, "yes")
    return Prepared(run, catalogue, prepare_images(run, listing, catalogue, TINY.preprocessing))


def node(run: Run, name: str) -> Run:
    """The run, for one node of a pipeline."""
    return run.model_copy(update={"node": name})


def logits_in_torch(run: Run, members: TrainedMembers) -> NDArray[np.float32]:
    """What the first member says of PIXELS."""
    network = load_network(run, members.members[0], 2)
    mean, std = (torch.tensor(values) for values in (network.spec.mean, network.spec.std))
    with torch.no_grad():
        scaled = (torch.from_numpy(PIXELS) / 255.0 - mean) / std
        answer: NDArray[np.float32] = network(scaled.permute(0, 3, 1, 2)).numpy()
    return answer


def test_the_first_branch_exports_its_own_network(prepared: Prepared) -> None:
    first_node, second_node = node(prepared.run, "first"), node(prepared.run, "second")
    first = prepared.train(first_node, seed=1)
    said = logits_in_torch(first_node, first)
    second = prepared.train(second_node, seed=2)
    assert np.abs(said - logits_in_torch(second_node, second)).max() > 0.01
    bundles = [prepared.export(first_node, first), prepared.export(second_node, second)]
    exported = load_bundle(prepared.run.open_workspace().uri(bundles[0].folder))
    np.testing.assert_allclose(exported.predict_pixels(PIXELS, member=0), said, atol=1e-3)
    assert read_trained(first_node) == first and read_trained(second_node) == second
    assert not {file.path for file in bundles[0].contents} & {file.path for file in bundles[1].contents}


def test_what_two_nodes_trained_is_reused_by_a_later_run(prepared: Prepared) -> None:
    kept = {name: prepared.train(node(prepared.run, name), seed) for name, seed in (("a", 1), ("b", 2))}
    later = prepared.run.model_copy(update={"id": new_run_id()})
    with timed_stages() as timings:
        assert prepared.train(later, seed=1) == kept["a"]
        assert prepared.train(node(later, "other"), seed=2) == kept["b"]
    assert [row.reused for row in timings] == [True] * 6
    assert [row.node for row in timings] == [None] * 3 + ["other"] * 3


def test_a_network_that_was_overwritten_is_not_taken_for_another(prepared: Prepared) -> None:
    """Two trainings without a node: the second takes the first's place, and the first is missed, not mistaken."""
    first = prepared.train(prepared.run, seed=1)
    prepared.train(prepared.run, seed=2)
    with pytest.raises(WorkspaceError, match="SHA-256") as refused:
        prepared.export(prepared.run, first)
    assert first.members[0].network.path in refused.value.message
    assert "delete it and run again" in refused.value.cure
    prepared.run.open_workspace().delete(first.members[0].network.path)
    later = prepared.run.model_copy(update={"id": new_run_id()})
    again = prepared.train(later, seed=1).members[0].network
    assert again.sha256 == first.members[0].network.sha256 and again.path != first.members[0].network.path
