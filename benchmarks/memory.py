"""Whether memory grows with the number of images: the peak of each stage at n and at 10 n images.

Images are generated, some hundred bytes each, so that what is measured is what the stages hold and not what a picture
costs. Each stage runs in a process of its own. Deep features are drawn and put into the workspace beforehand, since to
compute them would take hours and happens four images at a time whatever n; everything else is the stages' own code.

    python benchmarks/memory.py                  # 1,000 and 10,000
    python benchmarks/memory.py --images 10000   # 10,000 and 100,000
"""

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tasks.catalogue import Catalogue, build_catalogue
from tasks.copies.agreement import detail_picture
from tasks.data.settings import CatalogueSettings, ImagesSource
from tasks.engine.run import Run, open_run
from tasks.images.settings import Preprocessing
from tasks.ingest import Listing, ingest
from tasks.prepare import ImageCache, open_images, prepare_images

STAGES = ("start", "ingest", "catalogue", "prepare", "training input", "score")
PIXELS = 32
CLASSES = 10


def make_images(folder: Path, n: int) -> None:
    """Different small pictures, in folders by class."""
    rng = np.random.default_rng(0)
    for label in range(CLASSES):
        (folder / f"class {label}").mkdir(parents=True)
    for i in range(n):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8))
        data = io.BytesIO()
        coarse.resize((PIXELS, PIXELS), Image.Resampling.BICUBIC).save(data, "PNG")
        (folder / f"class {i % CLASSES}" / f"{i}.png").write_bytes(data.getvalue())


def put_features(run: Run, images: Path) -> None:
    """What the network would have said of each image, drawn; the small pictures are its own."""
    from tasks.training.embeddings import SHARD, EmbeddingStore, made_by
    from tasks.training.weights import build

    network, record = build("efficientnet_lite0", 1, None)
    store = EmbeddingStore(run.open_workspace(), made_by("efficientnet_lite0", record.sha256))
    rng, paths = np.random.default_rng(1), sorted(images.rglob("*.png"))
    for start in range(0, len(paths), SHARD):
        data = [path.read_bytes() for path in paths[start : start + SHARD]]
        pictures = [detail_picture(np.asarray(Image.open(io.BytesIO(one)).convert("RGB"))) for one in data]
        features = rng.normal(size=(len(data), network.spec.feature_dim)).astype(np.float16)
        store.put(
            [hashlib.sha256(one).hexdigest() for one in data],
            {"features": features, "picture": np.stack(pictures)},
        )


def run_stage(stage: str, folder: Path) -> None:
    """One stage; what it hands on lies in the folder as JSON."""
    run = open_run(str(folder / "workspace"), None, "memory")
    source = ImagesSource(url=str(folder / "images"))

    def kept(name: str, made: Listing | Catalogue | ImageCache) -> None:
        (folder / f"{name}.json").write_text(made.model_dump_json())

    def listing() -> Listing:
        return Listing.model_validate_json((folder / "listing.json").read_bytes())

    def found() -> Catalogue:
        return Catalogue.model_validate_json((folder / "catalogue.json").read_bytes())

    def training_input() -> None:
        cached = open_images(run, ImageCache.model_validate_json((folder / "cache.json").read_bytes()))
        from tasks.catalogue import read_catalogue
        from tasks.data.training_view import TrainingView

        view = TrainingView(read_catalogue(run, found()), {0})
        for batch in np.random.default_rng(0).integers(0, len(view), (100, 64)):
            cached.take([view.sha256[i] for i in batch])

    def score_images() -> None:
        from tasks.score import score_images

        score_images(run, source, str(folder / "bundle"), None)

    preprocessing = Preprocessing(size_px=PIXELS, crop_to_content=False)
    work: dict[str, Callable[[], object]] = {
        "start": lambda: None,
        "ingest": lambda: kept("listing", ingest(run, source).listing),
        "catalogue": lambda: kept("catalogue", build_catalogue(run, listing(), CatalogueSettings(), None)),
        "prepare": lambda: kept("cache", prepare_images(run, listing(), found(), preprocessing)),
        "training input": training_input,
        "score": score_images,
    }
    import tasks.training.embeddings  # noqa: F401 so that "start" holds what every stage imports

    work[stage]()
    print(json.dumps({"mb": peak_mb()}))


def peak_mb() -> float:
    """Most memory that this process had resident (Linux); getrusage would count the process it was forked from."""
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    return int(line.split()[1]) / 1024


def measure(n: int) -> dict[str, tuple[float, float]]:
    """Peak MB and seconds of each stage."""
    with tempfile.TemporaryDirectory(prefix="lightbox-memory-") as temporary:
        folder = Path(temporary)
        environment = {**os.environ, "LIGHTBOX_CACHE": str(folder / "cache")}
        make_images(folder / "images", n)
        write_small_bundle(folder / "bundle")
        put_features(open_run(str(folder / "workspace"), None, "memory"), folder / "images")
        measured = {}
        for stage in STAGES:
            started = time.perf_counter()
            command = [sys.executable, __file__, "--stage", stage, "--folder", temporary]
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            told = json.loads(done.stdout.strip().splitlines()[-1])
            measured[stage] = (float(told["mb"]), time.perf_counter() - started)
        return measured


def write_small_bundle(folder: Path) -> None:
    """A bundle of the tests' small networks."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from support.samples.small_bundles import write_bundle

    write_bundle(folder)


def main() -> None:
    """Measure one stage, or all of them at two sizes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1_000, help="n; ten times as many are measured, too")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        run_stage(options.stage, options.folder)
        return
    few, many = options.images, 10 * options.images
    at_few, at_many = measure(few), measure(many)
    print(f"{'stage':<16} {few:>9} {many:>9} images   ratio   KB an image more   seconds at {many}")
    for stage in STAGES:
        a, b = at_few[stage][0], at_many[stage][0]
        growth = (b - a) * 1024 / (many - few)
        print(
            f"{stage:<16} {a:>6.0f} MB {b:>6.0f} MB {b / a:>13.2f} {growth:>17.1f} {at_many[stage][1]:>14.0f}"
        )


if __name__ == "__main__":
    main()
