"""Export: turn the networks into one bundle, and prove that its graphs say what the networks say."""

import tempfile
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from pydantic import Field

from tasks.bundling.bundle import KindNetwork, MemberNetwork, assemble_bundle
from tasks.bundling.graph_files import NetworkKind
from tasks.bundling.provenance import git_commit
from tasks.catalogue import Catalogue, read_catalogue
from tasks.data.catalogue_table import CatalogueTable
from tasks.data.training_view import training_view
from tasks.engine.run import Run, block_options
from tasks.engine.stage import progress, stage
from tasks.fine_tune import TrainedMembers, TrainedNetwork, load_network
from tasks.models.bundle import Bundle, load_bundle
from tasks.models.manifest import BUNDLE_FILE, BundleFacts, BundleManifest, PretrainedWeights
from tasks.models.runtimes import Precision
from tasks.models.training_images import TrainingImages
from tasks.prepare import ImageCache, open_images
from tasks.record import FileReference, Record
from tasks.training.backbones import BACKBONES

PARITY_IMAGES = 32


class ExportedBundle(Record):
    """A bundle whose threshold is not chosen yet."""

    folder: str = Field(description="Folder below the workspace.")
    members: int = Field(ge=1, description="Members that it holds.")
    served: Literal["average", "refit"] = Field(description="What model.onnx holds.")
    parity: float = Field(description="Largest difference of a probability from torch's, on real images.")
    contents: tuple[FileReference, ...] = Field(description="Every file of the bundle.")

    def in_words(self) -> str:
        """What it holds, and how near it is to torch."""
        return f"{self.members} members; probabilities within {self.parity:.1g} of torch's on real images"

    @property
    def manifest(self) -> FileReference:
        """Its bundle.json, which names the other files with their digests."""
        return next(file for file in self.contents if PurePosixPath(file.path).name == BUNDLE_FILE)


@stage("export", version=3)
def export_bundle(
    run: Run, catalogue: Catalogue, pixels: tuple[ImageCache, ...], trained: TrainedMembers
) -> ExportedBundle:
    """Write ONNX graphs of the served model and of each member, each proved against torch on real images."""
    table = read_catalogue(run, catalogue)
    contents = table.contents["sha256"].tolist()
    some = [contents[i] for i in np.unique(np.linspace(0, len(contents) - 1, PARITY_IMAGES).astype(int))]
    with tempfile.TemporaryDirectory(prefix="lightbox-export-") as temporary:
        folder = Path(temporary) / "bundle"
        manifest = assemble_bundle(
            folder,
            _facts(run, catalogue, trained),
            [
                MemberNetwork(
                    load_network(run, member, len(catalogue.classes)),
                    _kind(member),
                    frozenset(member.held_out),
                )
                for member in trained.members
            ],
            parity_pixels={cache.preprocessing: open_images(run, cache).take(some) for cache in pixels},
            training_images=_training_images(table, trained),
            refit=(
                KindNetwork(load_network(run, trained.refit, len(catalogue.classes)), _kind(trained.refit))
                if trained.refit
                else None
            ),
            progress=progress(),
        )
        files = _upload(run, folder, manifest)
    return ExportedBundle(
        folder=f"{run.folder}/bundle",
        members=len(trained.members),
        served=trained.served,
        parity=max(manifest.parity.values()),
        contents=files,
    )


def load_by_manifest(run: Run, manifest: FileReference, precision: Precision = "float32") -> Bundle:
    """The bundle whose bundle.json a record refers to.

    Raises:
        WorkspaceError: another one stands in its place.
        BundleError: as `load_bundle`.
    """
    run.read(manifest)
    uri = run.open_workspace().uri(str(PurePosixPath(manifest.path).parent))
    return load_bundle(uri, block_options(run.workspace_block), run.cache_root, precision=precision)


def _facts(run: Run, catalogue: Catalogue, trained: TrainedMembers) -> BundleFacts:
    recipe = trained.served_recipe
    return BundleFacts(
        name=run.name,
        classes=catalogue.classes,
        positive_class=catalogue.positive_class,
        backbone=recipe.backbone,
        weights=PretrainedWeights(**(trained.refit or trained.members[0]).weights.model_dump()),
        recipe=recipe.model_dump(mode="json"),
        preprocessing=recipe.preprocessing,
        decode_limits=catalogue.decode,
        test_views=recipe.test_views,
        dataset_digest=catalogue.digest_of_rows,
        protocol=catalogue.protocol,
        served=trained.served,
        git_commit=git_commit(),
    )


def _kind(network: TrainedNetwork) -> NetworkKind:
    recipe = network.recipe
    spec = BACKBONES[recipe.backbone]
    return NetworkKind(recipe.backbone, recipe.preprocessing, recipe.test_views, spec.mean, spec.std)


def _training_images(table: CatalogueTable, trained: TrainedMembers) -> TrainingImages:
    contents = table.contents
    return TrainingImages.collect(
        {
            index: training_view(table, frozenset(member.held_out)).sha256
            for index, member in enumerate(trained.members)
        },
        dict(zip(contents["sha256"], contents["group"], strict=True)),
        dict(zip(contents["sha256"], contents["fold"].astype(int), strict=True)),
    )


def _upload(run: Run, folder: Path, manifest: BundleManifest) -> tuple[FileReference, ...]:
    """Put the files into the workspace, `bundle.json` last: it makes the folder a bundle."""
    workspace = run.open_workspace()
    references = []
    for name, sha256 in manifest.files.items():
        path = f"{run.folder}/bundle/{name}"
        workspace.upload(folder / name, path)
        references.append(FileReference(path=path, sha256=sha256))
    references.append(run.write(f"bundle/{BUNDLE_FILE}", (folder / BUNDLE_FILE).read_bytes()))
    return tuple(references)
