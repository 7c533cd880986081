"""Small stores of pictures in memory, and what a catalogue makes of them."""

import hashlib
import io
import threading
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.data.build import assemble_catalogue
from tasks.data.catalogue_table import CatalogueTable
from tasks.data.folds import FoldLedger
from tasks.data.inspection import (
    ImageFile,
    InspectedImages,
    inspect_images,
)
from tasks.images.settings import DecodeLimits

Split = Literal["train", "test"]


def slice_like(seed: int, side: int = 64) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
    return np.repeat(np.asarray(image)[..., None], 3, axis=2)


def encoded(pixels: NDArray[np.uint8], kind: str = "PNG", **options: Any) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind, **options)
    return data.getvalue()


class Store:
    """Files in memory with what is said about each, and how often each was read."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.files: list[ImageFile] = []
        self.reads: list[str] = []
        self._lock = threading.Lock()

    def add(
        self,
        path: str,
        data: bytes,
        label: str | None,
        *,
        group: str | None = None,
        split: Split | None = None,
    ) -> ImageFile:
        file = ImageFile(path, hashlib.sha256(data).hexdigest(), len(data), label, group, split)
        self.data[path] = data
        self.files.append(file)
        return file

    def read(self, path: str) -> bytes:
        with self._lock:
            self.reads.append(path)
        return self.data[path]

    def inspected(self, **options: Any) -> InspectedImages:
        return inspect_images(self.files, self.read, DecodeLimits(), **options)

    def table(self, n_folds: int = 3, ledger: FoldLedger | None = None) -> CatalogueTable:
        return assemble_catalogue(self.inspected(), ledger or FoldLedger(n_folds)).table


def varied_store() -> Store:
    """Twelve pictures of two classes; exact, pixel, near and unlabelled copies; three kinds of rejects."""
    store = Store()
    for seed in range(12):
        label = "yes" if seed % 2 else "no"
        store.add(f"{label}/Bild {seed} ä.PNG", encoded(slice_like(seed)), label)
    store.add("yes/exact copy.png", encoded(slice_like(1)), "yes")
    store.add("yes/same pixels.jpg", encoded(slice_like(1), compress_level=1), "yes")
    store.add("yes/recompressed.jpeg", encoded(slice_like(3), "JPEG", quality=70), "yes")
    store.add("later/unknown.png", encoded(slice_like(50)), None)
    store.add("no/notes.jpg", b"not an image", "no")
    store.add("no/empty.png", b"", "no")
    store.add("no/cut.png", encoded(slice_like(60))[:300], "no")
    return store


def row(table: CatalogueTable, path: str) -> dict[Any, Any]:
    (found,) = table.frame[table.frame["path"] == path].to_dict("records")
    return found
