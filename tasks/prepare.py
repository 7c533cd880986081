"""Prepare: decode every image once into a cache of fixed-size RGB pixels."""

from collections.abc import Iterable
from functools import partial

from pydantic import Field

from tasks.catalogue import Catalogue, read_catalogue
from tasks.engine.run import Run
from tasks.engine.stage import progress, stage
from tasks.images import image_cache
from tasks.images.image_cache import CachedImages, build_image_cache, open_image_cache
from tasks.images.settings import DECODER, Preprocessing
from tasks.ingest import Listing, image_reader
from tasks.record import Record, digest_of


class ImageCache(Record):
    """Where the decoded images are."""

    cache: image_cache.ImageCache = Field(description="The cache.")
    preprocessing: Preprocessing = Field(description="How an image became pixels.")

    def in_words(self) -> str:
        """How many images, and how large."""
        return f"{self.cache.n} images of {self.cache.size_px} x {self.cache.size_px} pixels"


@stage("prepare", version=1)
def prepare_images(
    run: Run, listing: Listing, catalogue: Catalogue, preprocessing: Preprocessing
) -> ImageCache:
    """Decode each distinct image once: uint8 RGB of one size, memory-mapped by training."""
    read = image_reader(run, listing)
    contents = read_catalogue(run, catalogue).contents
    items = [
        (sha256, partial(read, path))
        for sha256, path in zip(contents["sha256"], contents["path"], strict=True)
    ]
    said = (preprocessing.model_dump(mode="json"), catalogue.decode.model_dump(mode="json"))
    key = digest_of([*said, DECODER])[:16]
    cache = build_image_cache(
        run.open_workspace(), key, items, preprocessing, limits=catalogue.decode, progress=progress()
    )
    return ImageCache(cache=cache, preprocessing=preprocessing)


def prepare_ways(
    run: Run,
    listing: Listing,
    catalogue: Catalogue,
    ways: Iterable[Preprocessing],
    at_hand: Iterable[ImageCache] = (),
) -> tuple[ImageCache, ...]:
    """The images prepared in each of several ways; caches at hand are taken as they are."""
    known = {cache.preprocessing: cache for cache in at_hand}
    return tuple(known.get(way) or prepare_images(run, listing, catalogue, way) for way in ways)


def open_images(run: Run, pixels: ImageCache) -> CachedImages:
    """The decoded images by digest."""
    return open_image_cache(run.open_workspace(), pixels.cache, run.cache_root)
