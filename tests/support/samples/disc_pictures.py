"""A small learnable data set: pictures with or without a bright disc on noise."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.data.catalogue_table import CatalogueTable

SIDE = 64


class Pictures:
    """Prepared images in memory, which count how often each was asked for."""

    def __init__(self, pixels: dict[str, NDArray[np.uint8]]) -> None:
        self.pixels = pixels
        self.asked: list[str] = []

    def take(self, sha256s: Sequence[str]) -> NDArray[np.uint8]:
        """Uint8 (n, SIDE, SIDE, 3)."""
        self.asked += sha256s
        return np.stack([self.pixels[sha256] for sha256 in sha256s])


def picture(number: int, with_disc: bool, side: int = SIDE) -> NDArray[np.uint8]:
    """Noise, with a bright disc or without."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(20, 90, (side, side, 1)).repeat(3, axis=2)
    if with_disc:
        y, x = np.mgrid[:side, :side]
        centre, radius = rng.integers(side // 3, 2 * side // 3, 2), side // 6
        pixels[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2] = 230
    return pixels.astype(np.uint8)


def sha256_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def table(n: int, n_folds: int = 4) -> CatalogueTable:
    """`n` images, two to a group, classes in turn by group, folds in turn."""
    groups = np.arange(n) // 2
    frame = pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(n)],
            "sha256": [sha256_of(i) for i in range(n)],
            "pixel_sha256": [sha256_of(-1 - i) for i in range(n)],
            "format": "PNG",
            "width": SIDE,
            "height": SIDE,
            "mode": "L",
            "size_bytes": 1,
            "label": ["yes" if group % 2 else "no" for group in groups],
            "group": [f"group {group}" for group in groups],
            "fold": (groups // 2) % n_folds,
            "split": "",
            "conflict": False,
            "straddles": "",
            "multi_frame": False,
        }
    )
    return CatalogueTable(frame, pd.DataFrame(columns=["path", "sha256", "reason", "detail"]), n_folds)
