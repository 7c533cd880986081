"""A decoder's thread cannot be stopped: a file that would cost far more than its pixels is refused beforehand."""

import io
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from support.processor_time import allowed
from support.samples.costly_images import (
    gif_of_extensions,
    jpeg_of_scans,
    jpeg_of_segments,
    plain_ppm_of_comments,
    png_of_chunks,
    ppm_of_odd_values,
    tiff_of_a_large_tile,
    tiff_of_strips,
)

from tasks.images.decode import decode
from tasks.images.effort import MAX_SCANS, MAX_SEGMENTS, TooComplex, check_file
from tasks.images.reject_reasons import ImageRejected, RejectReason

CPU_SECONDS = 4.0
"""Of one thread; each of these files took from ten seconds to minutes."""

COSTLY: dict[str, tuple[Callable[[], bytes], RejectReason]] = {
    "a jpeg of 300 scans": (lambda: jpeg_of_scans(300), RejectReason.too_complex),
    "a jpeg of 30,000 scans": (lambda: jpeg_of_scans(30_000, side=3000), RejectReason.too_complex),
    "a jpeg of 8 million segments": (lambda: jpeg_of_segments(8_000_000), RejectReason.too_complex),
    "a tiff of 3 million strips": (lambda: tiff_of_strips(3_000_000), RejectReason.too_complex),
    "a tiff of a large tile": (tiff_of_a_large_tile, RejectReason.decompression_bomb),
    "a plain ppm of 200,000 comments": (lambda: plain_ppm_of_comments(200_000), RejectReason.too_complex),
    "a ppm of odd values": (lambda: ppm_of_odd_values(3000), RejectReason.too_complex),
    "a gif of 8 million extensions": (lambda: gif_of_extensions(8_000_000), RejectReason.too_complex),
    "a png of 2 million chunks": (lambda: png_of_chunks(2_000_000), RejectReason.too_complex),
}


@pytest.mark.parametrize("name", COSTLY)
def test_a_costly_file_is_refused_for_little(name: str) -> None:
    make, reason = COSTLY[name]
    data, before = make(), time.thread_time()
    with pytest.raises(ImageRejected) as caught:
        decode(data)
    assert time.thread_time() - before < allowed(CPU_SECONDS)
    assert caught.value.reason is reason


def _saved(kind: str, **options: object) -> bytes:
    noise = np.random.default_rng(3).integers(0, 256, (96, 128, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("quality", [1, 50, 95, 100])
@pytest.mark.parametrize("progressive", [False, True])
def test_what_encoders_write_is_taken(quality: int, progressive: bool) -> None:
    thumbnail = _saved("JPEG", quality=20)
    exif, profile = (
        b"Exif\0\0" + thumbnail,
        b"\xff\xda" * 40_000,
    )  # markers that are none: they lie within segments
    data = _saved(
        "JPEG", quality=quality, progressive=progressive, exif=exif, icc_profile=profile, comment=thumbnail
    )
    assert data.count(b"\xff\xda") > MAX_SCANS
    check_file(data)
    assert decode(data).width == 128


def test_scans_are_counted_as_the_decoder_reads_them() -> None:
    assert decode(jpeg_of_scans(MAX_SCANS, side=64)).width == 64
    for odd in (
        jpeg_of_scans(MAX_SCANS + 1, side=64),
        b"\xff\xd8\xff\xff\xff" + jpeg_of_scans(101, side=64)[3:],
    ):
        with pytest.raises(TooComplex, match="scans"):
            check_file(odd)
    filled = jpeg_of_scans(101, side=64).replace(b"\xff\xda", b"\xff\xff\xff\xda")
    with pytest.raises(TooComplex, match="scans"):
        check_file(filled)
    check_file(jpeg_of_scans(2, side=64) + jpeg_of_scans(200, side=64))  # what follows the end is not decoded


def test_a_file_that_ends_anywhere_is_looked_at() -> None:
    for whole in (jpeg_of_scans(3, side=64), tiff_of_strips(64), _saved("TIFF"), jpeg_of_segments(3)):
        for end in range(min(len(whole), 600)):
            check_file(whole[:end])


def test_whole_images_near_the_limits_are_decoded() -> None:
    assert decode(tiff_of_strips(2_000)).height == 2_000
    assert decode(jpeg_of_segments(MAX_SEGMENTS - 20)).width == 64
    assert decode(gif_of_extensions(10_000)).width == 64
    assert decode(png_of_chunks(10_000)).width == 64
    assert decode(plain_ppm_of_comments(200)).width == 64
    assert decode(ppm_of_odd_values(300)).pixels.max() == 0
    assert decode(tiff_of_a_large_tile(tile=1024)).width == 64
