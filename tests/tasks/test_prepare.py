"""Prepared pixels: those that the decoder gives, once for each content and way."""

from pathlib import Path

import numpy as np
from support.runs.staged_run import IMAGES, RECIPE, StagedRun

from tasks.catalogue import read_catalogue
from tasks.images.decode import decode, prepare
from tasks.images.settings import Preprocessing
from tasks.prepare import open_images, prepare_ways


def test_pixels_are_those_of_the_decoder(staged: StagedRun) -> None:
    table = read_catalogue(staged.run, staged.catalogue).frame
    cached = open_images(staged.run, staged.pixels)
    assert (len(cached), cached.size_px) == (IMAGES, 32)
    for path, sha256 in zip(table["path"], table["sha256"], strict=True):
        data = (Path(staged.listing.url) / path).read_bytes()
        expected = prepare(decode(data, staged.catalogue.decode).pixels, RECIPE.preprocessing)
        assert np.array_equal(cached.take([sha256])[0], expected)


def test_each_way_is_prepared_and_what_is_at_hand_is_taken(staged_copy: StagedRun) -> None:
    other = Preprocessing(size_px=40, fit="squash")
    run, listing, catalogue = staged_copy.run, staged_copy.listing, staged_copy.catalogue
    first, second = prepare_ways(run, listing, catalogue, (RECIPE.preprocessing, other), [staged_copy.pixels])
    assert first is staged_copy.pixels
    assert second.preprocessing == other
    assert open_images(run, second).size_px == 40
