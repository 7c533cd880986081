"""The report's pictures: worst errors and surest hits with what spoke for them, suspects, near copies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.data.catalogue_table import CatalogueTable
from tasks.images.decode import decode, prepare
from tasks.models.bundle import Bundle
from tasks.models.manifest import Member
from tasks.models.overlay import evidence, overlaid
from tasks.pages.content import MOST_PICTURES_A_GROUP, CopyGroup, Picture
from tasks.pages.copy_chains import Chain

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Album:
    """Draws pictures of one data set.

    `copies` has for each group the digests of all that ever belonged to it; `read` gives an image file's bytes by its
    path.
    """

    table: CatalogueTable
    copies: Mapping[str, Sequence[str]]
    bundle: Bundle
    read: Callable[[str], bytes]

    def judged(self, predictions: pd.DataFrame, rows: npt.NDArray[np.int64]) -> list[Picture]:
        """Pictures of these rows of the predictions, each explained by the members that never saw it."""
        positive = self.bundle.manifest.positive_class
        pictures = []
        for image in predictions.iloc[rows].to_dict("records"):
            pixels = self.prepared(image["path"], image["sha256"], image["group"])
            named = positive or image["predicted"]
            pictures.append(
                Picture(
                    path=image["path"],
                    label=image["label"],
                    pixels=pixels,
                    predicted=image["predicted"],
                    probability=float(image[f"probability_{named}"]),
                    overlay=self.explained(pixels, image["sha256"], image["group"], named),
                )
            )
        return pictures

    def suspects(self, predictions: pd.DataFrame, suspects: pd.DataFrame, most: int) -> list[Picture]:
        """The most suspect image of each group: what it is labelled, and what the model takes it for."""
        first = suspects.drop_duplicates("rank").head(most)
        copies = suspects["rank"].value_counts()
        judged = predictions.set_index("path").loc[first["path"]]
        return [
            Picture(
                path=row["path"],
                label=row["label"],
                pixels=self.prepared(row["path"], row["sha256"], of_image["group"]),
                predicted=row["suggested"],
                probability=float(of_image[f"probability_{row['suggested']}"]),
                note=_copies_note(int(copies[row["rank"]]) - 1),
            )
            for row, of_image in zip(first.to_dict("records"), judged.to_dict("records"), strict=True)
        ]

    def explained(self, pixels: Pixels, sha256: str, group: str, named: str) -> Pixels | None:
        """The picture under the class's activation map, by the members that saw neither it nor a copy of it.

        None where the network has no such maps, or every member saw the image.
        """
        heat = self.heat(pixels, sha256, group, named)
        return None if heat is None else overlaid(pixels, heat)

    def heat(self, pixels: Pixels, sha256: str, group: str, named: str) -> npt.NDArray[np.float64] | None:
        """The map itself, (h, w) in 0..1; None as for `explained`."""
        maps = [self.bundle.class_maps(pixels[None], member.index) for member in self._judges(sha256, group)]
        known = [found[0] for found in maps if found is not None]
        if not known:
            return None
        mean: npt.NDArray[np.float32] = np.mean(known, axis=0, dtype=np.float32)
        return evidence(mean, self.bundle.manifest.classes.index(named))

    def prepared(self, path: str, sha256: str, group: str) -> Pixels:
        """The image as those see it who explain it, uint8 (S, S, 3) RGB; else as the served model sees it."""
        judges = self._judges(sha256, group)
        way = judges[0].preprocessing if judges else self.bundle.manifest.preprocessing
        return prepare(decode(self.read(path), self.bundle.manifest.decode_limits).pixels, way)

    def _judges(self, sha256: str, group: str) -> list[Member]:
        """Of the members that saw neither the image nor a copy, the first one's likes: their maps can be averaged."""
        unseen = self.bundle.members_unseen_by(sha256, group, copies=self.copies[group])
        members = [self.bundle.manifest.members[index] for index in unseen]
        kinds = [(member.backbone, member.preprocessing) for member in members]
        return [member for member, kind in zip(members, kinds, strict=True) if kind == kinds[0]]

    def copy_groups(self, chains: list[Chain]) -> list[CopyGroup]:
        """Pictures of groups of copies, each beside one that it is a copy of, which its note names."""
        known = self.table.contents.set_index("sha256")[["path", "label"]].to_dict("index")
        groups = []
        for chain in chains:
            pictures = []
            for sha256, note in chain[:MOST_PICTURES_A_GROUP]:
                path, label = known[sha256]["path"], known[sha256]["label"]
                pixels = decode(self.read(path), self.bundle.manifest.decode_limits).pixels
                pictures.append(Picture(path=path, label=label, pixels=pixels, note=note))
            more = len(chain) - len(pictures)
            groups.append(
                CopyGroup(pictures, f"{more} more files of this group are not shown." if more else "")
            )
        return groups


def _copies_note(copies: int) -> str:
    return f"and {copies} {'copy' if copies == 1 else 'copies'} of it" if copies else ""
