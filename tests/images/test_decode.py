"""The one decoder: every kind of file that people put among their images, whole or broken."""

import io
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from support.repository import REPOSITORY

from tasks.images.decode import decode
from tasks.images.reject_reasons import ImageRejected, RejectReason
from tasks.images.settings import DecodeLimits


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def picture(width: int = 40, height: int = 30) -> Image.Image:
    """A colour gradient without symmetry: every flip and every swapped channel shows."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    pixels = np.stack([x * 255 // width, y * 255 // height, (x + 2 * y) % 256], axis=2)
    return Image.fromarray(pixels.astype(np.uint8))


def reason_of(data: bytes, limits: DecodeLimits | None = None) -> RejectReason:
    with pytest.raises(ImageRejected) as caught:
        decode(data, limits or DecodeLimits())
    assert caught.value.detail
    return caught.value.reason


def deep_png(values: NDArray[np.uint16]) -> bytes:
    return encoded(Image.fromarray(values), "PNG")


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP", "JPEG2000"])
def test_lossless_formats_give_the_same_pixels(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    decoded = decode(encoded(picture(), kind, **options))
    assert decoded.format == kind
    assert (decoded.width, decoded.height) == (40, 30)
    assert decoded.pixels.dtype == np.uint8
    assert np.array_equal(decoded.pixels, np.asarray(picture()))
    assert not decoded.multi_frame


def test_rgba_is_composited_on_black() -> None:
    image = Image.new("RGBA", (20, 20), (200, 100, 50, 0))
    image.putpixel((3, 4), (200, 100, 50, 255))
    image.putpixel((5, 6), (200, 100, 50, 128))
    pixels = decode(encoded(image, "PNG")).pixels
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[4, 3].tolist() == [200, 100, 50]
    assert pixels[6, 5].tolist() == [100, 50, 25]


def test_grey_with_alpha_is_composited_on_black() -> None:
    image = Image.new("LA", (20, 20), (255, 0))
    image.putpixel((3, 4), (180, 255))
    pixels = decode(encoded(image, "PNG")).pixels
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[4, 3].tolist() == [180, 180, 180]


@pytest.mark.parametrize("transparency", [1, b"\xff\x00\x80"])
def test_palette_with_transparency_is_composited_on_black(transparency: int | bytes) -> None:
    image = Image.new("P", (20, 20), 1)
    image.putpalette([10, 20, 30, 200, 210, 220, 100, 100, 100])
    image.putpixel((3, 4), 0)
    pixels = decode(encoded(image, "PNG", transparency=transparency)).pixels
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[4, 3].tolist() == [10, 20, 30]


def test_plain_palette_and_bilevel() -> None:
    palette = picture().quantize(16)
    assert np.array_equal(decode(encoded(palette, "PNG")).pixels, np.asarray(palette.convert("RGB")))
    bilevel = picture().convert("1")
    assert np.array_equal(decode(encoded(bilevel, "PNG")).pixels, np.asarray(bilevel.convert("RGB")))


def test_colour_key_in_rgb_and_grey_is_transparent() -> None:
    image = Image.new("RGB", (20, 20), (9, 9, 9))
    image.putpixel((3, 4), (50, 60, 70))
    pixels = decode(encoded(image, "PNG", transparency=(50, 60, 70))).pixels
    assert pixels[4, 3].tolist() == [0, 0, 0]
    assert pixels[0, 0].tolist() == [9, 9, 9]


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 16])
def test_deep_grey_keeps_its_contrast_whatever_bits_it_uses(bits: int) -> None:
    values = np.linspace(0, 2**bits - 1, 20 * 30).astype(np.uint16).reshape(20, 30)
    decoded = decode(deep_png(values))
    assert decoded.mode == "I;16"
    assert decoded.pixels[0, 0, 0] == 0
    assert decoded.pixels[-1, -1, 0] == 255
    assert np.array_equal(decoded.pixels[..., 0], values >> (bits - 8))
    assert np.array_equal(decoded.pixels[..., 0], decoded.pixels[..., 2])


def test_sixteen_bit_copy_of_an_eight_bit_image_gives_its_pixels() -> None:
    grey = np.asarray(picture().convert("L"))
    assert grey.max() >= 128
    assert np.array_equal(decode(deep_png(grey.astype(np.uint16) * 257)).pixels[..., 0], grey)


def test_deep_tiff_in_both_byte_orders_and_with_white_as_zero() -> None:
    values = np.arange(400, dtype=np.uint16).reshape(20, 20) * 160
    little = decode(encoded(Image.fromarray(values), "TIFF"))
    assert np.array_equal(little.pixels[..., 0], values >> 8)
    inverted = decode(encoded(Image.fromarray(values), "TIFF", tiffinfo={262: 0}))
    assert np.array_equal(inverted.pixels[..., 0], 255 - (values >> 8))
    big = b"MM\0*" + struct.pack(">IH", 8, 9)
    tags = [(256, 4, 20), (257, 4, 20), (258, 3, 16), (259, 3, 1), (262, 3, 1)]
    tags += [(273, 4, 10 + 9 * 12 + 4), (277, 3, 1), (278, 4, 20), (279, 4, 800)]
    for tag, kind, value in tags:
        big += struct.pack(">HHI", tag, kind, 1)
        big += struct.pack(">I", value) if kind == 4 else struct.pack(">HH", value, 0)
    big += struct.pack(">I", 0) + values.astype(">u2").tobytes()
    assert np.array_equal(decode(big).pixels, little.pixels)


def test_float_tiff() -> None:
    unit = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
    pixels = decode(encoded(Image.fromarray(unit), "TIFF")).pixels[..., 0]
    assert np.array_equal(pixels, np.rint(unit.astype(np.float64) * 255).astype(np.uint8))
    half = decode(encoded(Image.fromarray(unit / 2), "TIFF")).pixels
    assert half.max() == 128
    hounsfield = np.linspace(-1000, 3000, 400, dtype=np.float32).reshape(20, 20)
    hounsfield[0, 1], hounsfield[0, 2] = np.nan, np.inf
    pixels = decode(encoded(Image.fromarray(hounsfield), "TIFF")).pixels[..., 0]
    assert pixels[0, 0] == 0
    assert pixels[-1, -1] == 255
    assert pixels[0, 1] == 0
    assert pixels[0, 2] == 0
    flat = decode(encoded(Image.fromarray(np.full((20, 20), np.nan, dtype=np.float32)), "TIFF"))
    assert flat.pixels.max() == 0


def test_signed_integers_are_mapped_by_their_range() -> None:
    values = np.linspace(-1024, 3071, 400).astype(np.int32).reshape(20, 20)
    pixels = decode(encoded(Image.fromarray(values), "TIFF")).pixels[..., 0]
    assert pixels[0, 0] == 0
    assert pixels[-1, -1] == 255


def test_cmyk_jpeg() -> None:
    image = Image.new("CMYK", (32, 32), (0, 0, 0, 0))
    image.paste((255, 0, 0, 0), (0, 0, 16, 32))
    decoded = decode(encoded(image, "JPEG", quality=95))
    assert decoded.mode == "CMYK"
    assert decoded.pixels[16, 24].min() > 250
    assert decoded.pixels[16, 4, 0] < 5
    assert decoded.pixels[16, 4, 1:].min() > 250


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    # Worked out by hand from the Exif definition: where the stored first row and column stand in the scene.
    upright = np.zeros((24, 40), dtype=np.uint8)
    upright[:12, :20], upright[:12, 20:], upright[12:, :20] = 250, 170, 90
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    decoded = decode(encoded(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif))
    assert (decoded.width, decoded.height) == (40, 24)
    for y, x, value in ((4, 8, 250), (4, 32, 170), (20, 8, 90), (20, 32, 0)):
        assert abs(int(decoded.pixels[y, x, 0]) - value) < 8


def test_damaged_exif_is_ignored() -> None:
    data = encoded(picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff\xff\xff")
    assert decode(data).width == 40


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_several_frames_give_the_first(kind: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ((200, 0, 0), (0, 200, 0), (0, 0, 200))]
    options: dict[str, Any] = {"save_all": True, "append_images": frames[1:]}
    if kind == "WEBP":
        options["lossless"] = True
    decoded = decode(encoded(frames[0], kind, **options))
    assert decoded.multi_frame
    assert decoded.pixels[10, 10].tolist() == [200, 0, 0]


def test_empty_and_no_image() -> None:
    assert reason_of(b"") is RejectReason.empty_file
    assert reason_of(b"path,label\na.png,yes\n") is RejectReason.not_an_image
    assert reason_of(b"\0" * 5000) is RejectReason.not_an_image
    assert reason_of(b"<html>404</html>") is RejectReason.not_an_image


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
def test_truncated(kind: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    reason = reason_of(data[: int(len(data) * kept)])
    # A TIFF keeps no length of its own, so it can only be called unreadable.
    assert reason is RejectReason.truncated or (kind == "TIFF" and reason is RejectReason.unreadable)


def test_damage_inside_is_unreadable() -> None:
    data = bytearray(encoded(picture(200, 200), "PNG"))
    middle = len(data) // 2
    data[middle : middle + 40] = b"\xaa" * 40
    assert reason_of(bytes(data)) is RejectReason.unreadable


@given(st.integers(0, 10_000), st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_no_changed_byte_of_a_png_goes_unnoticed(place: int, change: int) -> None:
    content = encoded(picture(), "PNG")
    data = bytearray(content)
    data[place % len(data)] ^= change
    try:
        decoded = decode(bytes(data))
    except ImageRejected:
        return
    assert np.array_equal(decoded.pixels, np.asarray(picture()))


def test_decompression_bombs_are_refused_by_their_header() -> None:
    assert reason_of(png_claiming(60_000, 60_000)) is RejectReason.decompression_bomb
    # Between Pillow's own warning and its own error: refused by our limit, without a warning.
    assert reason_of(png_claiming(11_000, 10_000)) is RejectReason.decompression_bomb
    assert (
        reason_of(encoded(picture(), "PNG"), DecodeLimits(max_pixels=1024)) is RejectReason.decompression_bomb
    )


def test_an_image_above_pillows_warning_but_within_the_limit_is_decoded_silently() -> None:
    large = encoded(Image.new("1", (9_500, 9_500)), "PNG")
    assert decode(large, DecodeLimits(max_pixels=100_000_000)).width == 9_500


def test_too_small() -> None:
    assert reason_of(encoded(picture(8, 8), "PNG")) is RejectReason.too_small
    assert reason_of(encoded(picture(300, 15), "PNG")) is RejectReason.too_small
    assert decode(encoded(picture(16, 16), "PNG")).width == 16


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0" * 128 + b"DICM" + b"\0" * 500, "DICOM"),
        (b"\0" * 344 + b"n+1\0" + b"\0" * 50, "NIfTI"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 50, "HEIF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"%PDF-1.7\n", "PDF"),
        (b"PK\x03\x04" + b"\0" * 30, "zip"),
    ],
)
def test_known_but_unsupported_formats_are_named(data: bytes, name: str) -> None:
    with pytest.raises(ImageRejected, match=name) as caught:
        decode(data)
    assert caught.value.reason is RejectReason.unsupported


def test_formats_outside_the_list_are_not_decoded() -> None:
    assert reason_of(encoded(picture(), "TGA")) is RejectReason.not_an_image
    assert reason_of(encoded(picture(), "EPS")) is RejectReason.unsupported


def test_a_colour_mode_without_rules_is_unsupported() -> None:
    lab = Image.new("LAB", (20, 20))
    assert reason_of(encoded(lab, "TIFF")) is RejectReason.unsupported


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_hostile_bytes_give_pixels_or_a_rejection_and_nothing_else(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"]))
    content = bytearray(encoded(picture(20, 20), kind))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(1, len(content)))]
    try:
        decoded = decode(bytes(content), DecodeLimits(min_side_px=1, max_pixels=1_000_000))
    except ImageRejected as rejected:
        assert rejected.reason in RejectReason
    else:
        assert decoded.pixels.shape == (decoded.height, decoded.width, 3)


def test_threads_leave_the_warning_filters_as_they_were() -> None:
    before = list(warnings.filters)
    data = [encoded(picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff\xff\xff"), b"\x89PNG\r\n\x1a\n"]
    start = threading.Barrier(8)

    def many(seed: int) -> None:
        start.wait()
        for i in range(40):
            try:
                decode(data[(i + seed) % 2])
            except ImageRejected:
                continue

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(many, range(8)))
    assert list(warnings.filters) == before


def test_decoding_needs_neither_torch_nor_pandas() -> None:
    code = (
        "import sys, tasks.images.decode; "
        "print([m for m in ('torch','pandas','scipy','sklearn','prefect') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True
    )
    assert done.stdout.strip() == "[]"


def test_rejections_survive_pickling() -> None:
    import pickle  # a process pool sends exceptions this way

    rejected = pickle.loads(pickle.dumps(ImageRejected(RejectReason.too_small, "8x8 px")))  # noqa: S301
    assert (rejected.reason, rejected.detail) == (RejectReason.too_small, "8x8 px")
