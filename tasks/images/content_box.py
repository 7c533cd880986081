"""Where in a picture its content is: found in spite of noise, frames, white pages and corner marks."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

_WORKING_SIDE_PX: Final = 128
_FLAT_TOLERANCE: Final = 20
_FLAT_EXCEPTIONS: Final = 0.03
_LEVEL_ABOVE_BACKGROUND: Final = 0.12
_MIN_PART_OF_LARGEST: Final = 0.10
_MARGIN: Final = 0.02
_MIN_SIDE_FRACTION: Final = 0.2

Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels, right and bottom exclusive, as Pillow has it."""


def content_box(pixels: NDArray[np.uint8]) -> Box:
    """The box around what the picture shows, or the whole picture when no box can be trusted.

    `pixels` is uint8 (H, W, 3). On a small grey copy: (1) rows and columns that are flat, whatever their
    colour, are peeled off the four sides until none is left: black margins, white frames, white pages; (2)
    what is brighter than the background is kept, and an opening removes thin things: lines, letters, noise;
    (3) of the connected parts, the largest and those of at least a tenth of its area make the box, with a
    margin of 2 %. A box whose width or height is under a fifth of the picture's is not trusted.
    """
    height, width = pixels.shape[:2]
    whole = (0, 0, width, height)
    grey = _small_grey(pixels)
    left, top, right, bottom = _peeled(grey)
    if right - left < 8 or bottom - top < 8:
        return whole
    found = _largest_parts(_foreground(grey[top:bottom, left:right]))
    if found is None:
        return whole
    rows, columns = grey.shape
    margin = _MARGIN * max(found[2] - found[0], found[3] - found[1])
    scale_x, scale_y = width / columns, height / rows
    box = (
        max(0, int((left + found[0] - margin) * scale_x)),
        max(0, int((top + found[1] - margin) * scale_y)),
        min(width, int(np.ceil((left + found[2] + margin) * scale_x))),
        min(height, int(np.ceil((top + found[3] + margin) * scale_y))),
    )
    trusted = box[2] - box[0] >= _MIN_SIDE_FRACTION * width and box[3] - box[1] >= _MIN_SIDE_FRACTION * height
    return box if trusted else whole


def _small_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A grey copy of at most 128 px a side, free of single-pixel noise."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image = image.reduce(max(1, max(image.size) // _WORKING_SIDE_PX)).convert("L")
    scale = min(1.0, _WORKING_SIDE_PX / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.resize(size, Image.Resampling.BOX)
    return np.asarray(small.filter(ImageFilter.MedianFilter(3)))


def _peeled(grey: NDArray[np.uint8]) -> Box:
    """The box left when flat rows and columns are taken off all sides, in turns, until nothing changes."""
    left, top, right, bottom = 0, 0, grey.shape[1], grey.shape[0]
    while right - left > 1 and bottom - top > 1:
        before = (left, top, right, bottom)
        inside = grey[top:bottom, left:right]
        skip_top, skip_bottom = _flat_ends(inside)
        top, bottom = top + skip_top, bottom - skip_bottom
        skip_left, skip_right = _flat_ends(grey[top:bottom, left:right].T)
        left, right = left + skip_left, right - skip_right
        if (left, top, right, bottom) == before:
            break
    return left, top, right, bottom


def _flat_ends(lines: NDArray[np.uint8]) -> tuple[int, int]:
    """How many leading and trailing lines (rows of `lines`) are flat."""
    if lines.size == 0:
        return 0, 0
    middle = np.median(lines, axis=1, keepdims=True)
    off = np.abs(lines - middle) > _FLAT_TOLERANCE
    uneven = np.flatnonzero(off.mean(axis=1) > _FLAT_EXCEPTIONS)
    if uneven.size == 0:
        return len(lines), 0
    return int(uneven[0]), len(lines) - 1 - int(uneven[-1])


def _foreground(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """What is brighter than the background, without anything thinner than three pixels."""
    dark, bright = np.percentile(grey, (2, 98))
    mask = grey > dark + max(8.0, _LEVEL_ABOVE_BACKGROUND * (bright - dark))
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    opened = image.filter(ImageFilter.MinFilter(3)).filter(ImageFilter.MaxFilter(3))
    return np.asarray(opened) > 0


def _largest_parts(mask: NDArray[np.bool_]) -> Box | None:
    """The box around the largest connected part and those of at least a tenth of its area."""
    starts, ends, rows, parents = _runs(mask)
    if len(starts) == 0:
        return None
    roots = np.array([_root(parents, run) for run in range(len(parents))])
    areas = np.bincount(roots, weights=ends - starts, minlength=len(parents))
    kept = areas[roots] >= _MIN_PART_OF_LARGEST * areas.max()
    return (
        int(starts[kept].min()),
        int(rows[kept].min()),
        int(ends[kept].max()),
        int(rows[kept].max()) + 1,
    )


def _runs(
    mask: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], list[int]]:
    """Horizontal runs of the mask (start, end, row), joined with the runs they touch in the row above."""
    padded = np.zeros((mask.shape[0], mask.shape[1] + 2), dtype=np.int8)
    padded[:, 1:-1] = mask
    edges = np.diff(padded, axis=1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    parents = list(range(len(starts)))
    first_of_row = np.searchsorted(rows, np.arange(mask.shape[0] + 1))
    for row in range(1, mask.shape[0]):
        above, above_end = int(first_of_row[row - 1]), int(first_of_row[row])
        for run in range(above_end, int(first_of_row[row + 1])):
            for other in range(above, above_end):
                if starts[other] < ends[run] and starts[run] < ends[other]:
                    parents[_root(parents, other)] = _root(parents, run)
    return starts, ends, rows, parents


def _root(parents: list[int], run: int) -> int:
    while parents[run] != run:
        parents[run] = parents[parents[run]]
        run = parents[run]
    return run
