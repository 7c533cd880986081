"""Do the explanation overlays point at the lesion? Measured on the demo set, whose lesions have masks.

    python benchmarks/overlay.py [--folder demo] [--preset fast]

Runs the main job on the demo set (what is there already is reused), and asks of each lesion that was found (labelled
yes, predicted yes, by members that never saw the image nor a copy): does the strongest place of the class's activation
map lie in the lesion's mask, or within half a cell of the map of it? Beside it what that would be by chance: a random
point of the picture, a random point of the head (what is brighter than the background), and the map of another image,
which knows where lesions usually are but not this one.

The lesions are simulated: a high rate shows that maps and images are drawn over one another rightly and that the
network looks at what was drawn, not that it would find a tumour.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt

from flows.config import DataSet, TrainingSettings, WorkspaceLocation
from flows.retrain import retrain
from tasks.catalogue import copies_ever
from tasks.data.catalogue_table import CatalogueTable
from tasks.data.settings import ImagesSource
from tasks.demo.data_set import make_demo
from tasks.engine.run import Run
from tasks.evaluation.intervals import proportion
from tasks.images.content_box import content_box
from tasks.images.decode import decode, prepare
from tasks.images.settings import Preprocessing
from tasks.models.bundle import load_bundle
from tasks.models.overlay import enlarged
from tasks.pages.album import Album
from tasks.stores.layout import CATALOGUE_ROWS, catalogue_path
from tasks.stores.workspace import Workspace

BRIGHTER_THAN_BACKGROUND = 30
"""Grey value of 255 above which a pixel counts as head."""


def main() -> None:
    """Run and print."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument(
        "--folder", type=Path, default=None, help="demo folder; a temporary one if left out"
    )
    arguments.add_argument("--preset", default="fast")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="lightbox-overlay-") as temporary:
        measure(given.folder or Path(temporary), given.preset)


def measure(folder: Path, preset: str) -> None:
    """Train where needed, measure, print."""
    demo = make_demo(folder / "data")
    workspace = Workspace(str(folder / "workspace"))
    result = retrain.fn(
        images=ImagesSource(url=str(demo.images)),
        workspace=WorkspaceLocation(url=workspace.url),
        dataset=DataSet(name="demo", positive_class="yes", finding="simulated lesion"),
        training=TrainingSettings.model_validate({"preset": preset}),
    )
    predictions = pd.read_parquet(result.predictions)
    found = predictions[(predictions["label"] == "yes") & (predictions["predicted"] == "yes")]
    found = found.drop_duplicates("sha256").reset_index(drop=True)
    table, rejects = (
        workspace.read(catalogue_path("demo", result.dataset.digest, file))
        for file in (CATALOGUE_ROWS, "rejects.parquet")
    )
    catalogue = CatalogueTable.from_parquet(table, rejects)
    album = Album(
        catalogue,
        copies_ever(Run(id=result.run, name="demo", workspace=workspace.url), catalogue),
        load_bundle(result.bundle),
        lambda path: (demo.images / path).read_bytes(),
    )
    preprocessing = album.bundle.manifest.preprocessing
    peaks, masks, heads, cell = [], [], [], 0.0
    for row in found.to_dict("records"):
        pixels = album.prepared(row["path"], row["sha256"], row["group"])
        heat = album.heat(pixels, row["sha256"], row["group"], "yes")
        if heat is None:
            raise SystemExit("the bundle has no class maps")
        cell = preprocessing.size_px / heat.shape[0]
        large = enlarged(heat, preprocessing.size_px)
        peaks.append(np.unravel_index(int(large.argmax()), large.shape))
        masks.append(_mask(demo.images / row["path"], demo.masks, preprocessing))
        heads.append(pixels.max(axis=2) > BRIGHTER_THAN_BACKGROUND)
    n_yes = int((predictions["label"] == "yes").sum())
    print(f"{len(found)} distinct found lesions ({n_yes} files with a lesion), map cells of {cell:.0f} px")
    distances = [distance_transform_edt(~mask) for mask in masks]
    for name, tolerance in (("in the mask", 0.0), (f"within {cell / 2:.0f} px of it", cell / 2)):
        _print_rates(name, tolerance, peaks, distances, heads, found["group"].to_numpy(str))


def _print_rates(
    name: str,
    tolerance: float,
    peaks: list[tuple[np.intp, ...]],
    distances: list[NDArray[np.float64]],
    heads: list[NDArray[np.bool_]],
    groups: NDArray[np.str_],
) -> None:
    near = [distance <= tolerance for distance in distances]
    hits = np.array([area[peak] for area, peak in zip(near, peaks, strict=True)])
    swapped = float(np.mean([area[peak] for area, peak in zip(near, [*peaks[1:], peaks[0]], strict=True)]))
    anywhere = float(np.mean([area.mean() for area in near]))
    in_head = float(np.mean([area[head].mean() for area, head in zip(near, heads, strict=True)]))
    rate = proportion(hits, groups, absent="no lesion found")
    print(
        f"strongest place {name}: {rate.value:.3f} (95 % {rate.lower:.3f} to {rate.upper:.3f}); by chance: anywhere "
        f"{anywhere:.3f} (ratio {hits.mean() / anywhere:.1f}), in the head {in_head:.3f} (ratio "
        f"{hits.mean() / in_head:.1f}), map of another image {swapped:.3f} "
        f"(ratio {hits.mean() / max(swapped, 1e-9):.1f})"
    )


def _mask(image: Path, masks: Path, preprocessing: Preprocessing) -> NDArray[np.bool_]:
    """The lesion's mask, cropped and resized as its image is: bool (S, S)."""
    pixels = decode(image.read_bytes()).pixels
    mask = np.asarray(Image.open(masks / f"{image.stem}.png").convert("RGB"))
    if mask.shape != pixels.shape:
        raise SystemExit(f"{image} and its mask differ in size: {pixels.shape}, {mask.shape}")
    if preprocessing.crop_to_content:
        left, top, right, bottom = content_box(pixels)
        mask = mask[top:bottom, left:right]
    shown = prepare(mask, preprocessing.model_copy(update={"crop_to_content": False}))
    found: NDArray[np.bool_] = shown[..., 0] > 127
    return found


if __name__ == "__main__":
    main()
