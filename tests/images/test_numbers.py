"""TIFF of every kind of number gives its pixels, or is refused for what it is; what hides everything hides nothing."""

import io
import struct
import sys
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tasks.images.decode import decode
from tasks.images.reject_reasons import ImageRejected, RejectReason
from tasks.images.settings import DecodeLimits

FORMATS = {"u": 1, "i": 2, "f": 3}


def tiff(
    values: NDArray[Any], order: str = "<", *, compressed: bool = False, photometric: int = 1, **tags: int
) -> bytes:
    """A TIFF of one strip, as the specification says, of any numbers."""
    height, width, *channels = values.shape
    raw = values.astype(values.dtype.newbyteorder(order)).tobytes()  # type: ignore[arg-type]
    raw = zlib.compress(raw) if compressed else raw
    said = {
        256: width,
        257: height,
        258: 8 * values.dtype.itemsize,
        259: 8 if compressed else 1,
        262: photometric,
    }
    said |= {273: 0, 277: channels[0] if channels else 1, 278: height, 279: len(raw)}
    said |= {339: FORMATS.get(values.dtype.kind, 6), **{int(tag[1:]): value for tag, value in tags.items()}}
    said[273] = 8 + 2 + 12 * len(said) + 4
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(said))
    entries = (struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in sorted(said.items()))
    return head + b"".join(entries) + struct.pack(f"{order}I", 0) + raw


def ramp(dtype: str) -> NDArray[Any]:
    """20 x 30 values that grow over the whole range of a kind of integer, or from 0 to 1000."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return (np.arange(600).reshape(20, 30) / 599 * 1000).astype(kind)
    least, most = int(np.iinfo(kind).min), int(np.iinfo(kind).max)
    return np.array([least + place * (most - least) // 599 for place in range(600)], kind).reshape(20, 30)


GREY = np.arange(600).reshape(20, 30) / 599 * 255


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"])
def test_numbers_of_every_kind_keep_their_order_and_their_range(
    dtype: str, order: str, compressed: bool
) -> None:
    decoded = decode(tiff(ramp(dtype), order, compressed=compressed))
    grey = decoded.pixels[..., 0].astype(float)
    assert np.abs(grey - GREY).max() <= 1.01
    assert (decoded.width, decoded.height) == (30, 20)
    assert (decoded.pixels == decoded.pixels[..., :1]).all()


def test_floats_within_one_are_shares_of_white_whatever_their_width() -> None:
    values = np.linspace(0.2, 0.6, 600).reshape(20, 30)
    for dtype in ("f2", "f4", "f8"):
        grey = decode(tiff(values.astype(dtype))).pixels[..., 0]
        assert (int(grey.min()), int(grey.max())) == (51, 153)


def test_values_that_are_no_numbers_and_white_as_zero() -> None:
    values = ramp("f8")
    values[0, 0] = np.nan
    values[0, 1] = np.inf
    assert np.abs(decode(tiff(values)).pixels[1:, :, 0] - GREY[1:]).max() <= 2
    inverted = decode(tiff(ramp("u4"), photometric=0)).pixels[..., 0]
    assert np.abs(255 - inverted.astype(float) - GREY).max() <= 1.01


def test_twelve_bits_in_thirty_two_keep_their_contrast() -> None:
    values = (np.arange(600).reshape(20, 30) * 6).astype("u4")
    assert decode(tiff(values)).pixels.max() == 3594 >> 4


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tiff(np.zeros((20, 30), np.complex64)), "1 channel of 64-bit complex floats"),
        (tiff(np.zeros((20, 30, 3), "f8")), "3 channels of 64-bit floats"),
        (tiff(np.zeros((20, 30, 3), "f4")), "3 channels of 32-bit floats"),
        (tiff(ramp("f2"), t317=3), "compressed with predictor 3"),
        (tiff(ramp("f8"), t317=3), "compressed with predictor 3"),
    ],
)
def test_what_cannot_be_read_is_refused_for_what_it_is(data: bytes, words: str) -> None:
    with pytest.raises(ImageRejected) as caught:
        decode(data)
    assert caught.value.reason is RejectReason.unsupported
    assert words in caught.value.detail
    assert "export it" in caught.value.detail
    assert "damaged" not in caught.value.detail


def test_limits_count_the_pixels_of_the_picture() -> None:
    decode(tiff(ramp("f8")), DecodeLimits(min_side_px=20, max_pixels=1024))
    with pytest.raises(ImageRejected, match=r"30x20 px, the least side is min_side_px=21"):
        decode(tiff(ramp("f8")), DecodeLimits(min_side_px=21))


def test_a_directory_that_lies_is_a_rejection() -> None:
    for dtype in ("f8", "u4"):
        whole = tiff(ramp(dtype))
        for length in range(8, len(whole), 37):
            with pytest.raises(ImageRejected):
                decode(whole[:length])
        for place in range(4, 130):
            changed = whole[:place] + b"\xff" + whole[place + 1 :]
            try:
                decode(changed)
            except ImageRejected:
                continue


def saved(image: Image.Image, kind: str) -> bytes:
    data = io.BytesIO()
    image.save(data, kind)
    return data.getvalue()


COLOURS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def with_alpha(alpha: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(np.dstack([COLOURS, alpha]), "RGBA")


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_what_is_transparent_everywhere_is_seen(kind: str) -> None:
    nothing = np.zeros((20, 30), np.uint8)
    assert (decode(saved(with_alpha(nothing), kind)).pixels == COLOURS).all()
    mask = nothing.copy()
    mask[:, :15] = 1
    shown = decode(saved(with_alpha(mask), kind)).pixels
    assert (shown[:, :15] == COLOURS[:, :15]).all()
    assert not shown[:, 15:].any()
    half = nothing.copy()
    half[:10] = 255
    assert not decode(saved(with_alpha(half), kind)).pixels[10:].any()


def test_nothing_to_see_is_refused_for_what_it_is() -> None:
    for image in (Image.new("RGBA", (30, 20)), Image.new("LA", (30, 20))):
        with pytest.raises(ImageRejected, match="transparent everywhere") as caught:
            decode(saved(image, "PNG"))
        assert caught.value.reason is RejectReason.unsupported


def test_heic_is_read_where_the_extra_is_there() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    smooth = np.repeat(np.linspace(0, 255, 64, dtype=np.uint8)[None, :, None], 48, axis=0).repeat(3, axis=2)
    data = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(smooth)).save(data, quality=95)
    decoded = decode(data.getvalue())
    assert (decoded.format, decoded.width, decoded.height) == ("HEIF", 64, 48)
    assert np.abs(decoded.pixels.astype(int) - smooth).max() <= 6
    with pytest.raises(ImageRejected):
        decode(data.getvalue()[: len(data.getvalue()) // 2])
    with pytest.raises(ImageRejected, match="max_pixels"):
        decode(data.getvalue(), DecodeLimits(max_pixels=1024))


def test_heic_without_the_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.images import decode as decoder

    decoder._reads_heif.cache_clear()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageRejected, match=r"pip install 'lightbox\[heif\]'"):
        decode(b"\0\0\0\x18ftypheic" + b"\0" * 60)
    decoder._reads_heif.cache_clear()
