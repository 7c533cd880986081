"""Judge again: the champion as it is served, on the labelled images that came since it was made."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from pydantic import Field

from tasks.catalogue import Catalogue, copies_ever, ledger_state, read_catalogue
from tasks.engine.run import Run
from tasks.engine.stage import progress, stage
from tasks.errors import RegistryError
from tasks.evaluate import judged_folds
from tasks.evaluation.served import ServedFigures, served_figures
from tasks.export import load_by_manifest
from tasks.images.reject_reasons import ImageRejected
from tasks.ingest import Listing, image_reader
from tasks.models.bundle import Bundle, Prediction
from tasks.models.registry import Registry
from tasks.record import Record

IMAGES_IN_HAND = 64


class ServedAgain(Record):
    """What was found, where there was something to judge and images to judge it on."""

    champion: str | None = Field(description="The version that is served.")
    figures: ServedFigures | None = Field(
        description="None without a champion, without new images, or where it tells other classes apart."
    )

    def in_words(self) -> str:
        """The figures, or that there are none."""
        if self.figures is not None:
            return self.figures.in_words()
        return f"no image came since {self.champion} was made" if self.champion else "no model is served"


def _champion(run: Run) -> tuple[str | None, str]:
    return Registry(run.open_workspace()).aliases(run.name).champion, ledger_state(run)


@stage("rejudge", version=1, state=_champion)
def rejudge_champion(run: Run, listing: Listing, catalogue: Catalogue) -> ServedAgain:
    """Let the champion answer as it does in service, with its own threshold, on images that it had no part in.

    Neither its members nor its refit learnt from them, from a copy or from their patient, and its threshold was not
    chosen on them. The only direct measurement of what is served.
    """
    registry = Registry(run.open_workspace())
    champion = registry.aliases(run.name).champion
    if champion is None:
        return ServedAgain(champion=None, figures=None)
    try:
        bundle = load_by_manifest(run, registry.manifest(run.name, champion))
    except RegistryError:  # its bundle is gone: what is compared with it says so
        return ServedAgain(champion=champion, figures=None)
    facts = bundle.manifest
    if (facts.classes, facts.positive_class) != (catalogue.classes, catalogue.positive_class):
        return ServedAgain(champion=champion, figures=None)
    said = dict(_answers(run, listing, _since(run, catalogue, bundle), bundle))
    table = read_catalogue(run, catalogue).frame
    rows = table[~table["conflict"] & table["sha256"].isin(said)].sort_values("path", ignore_index=True)
    if rows.empty:
        return ServedAgain(champion=champion, figures=None)
    answers = [said[sha256] for sha256 in rows["sha256"]]
    figures = served_figures(
        catalogue.label_indices(rows["label"]),
        np.array([[answer.probabilities[name] for name in catalogue.classes] for answer in answers]),
        np.array([catalogue.classes.index(answer.label) for answer in answers]),
        rows["group"].to_numpy(str),
        classes=list(catalogue.classes),
        positive_class=catalogue.positive_class,
        version=champion,
        made=facts.created,
    )
    return ServedAgain(champion=champion, figures=figures)


def _since(run: Run, catalogue: Catalogue, bundle: Bundle) -> pd.DataFrame:
    """Contents that the bundle had no part in.

    Where it was judged on one part alone, that part stays out: its images were there before.
    """
    table = read_catalogue(run, catalogue)
    contents, copies = table.contents, copies_ever(run, table)
    free = contents["straddles"] == ""
    if bundle.manifest.protocol != "cross_validation":
        free &= judged_folds(contents, catalogue) != 0
    members = len(bundle.manifest.members)
    new = [
        len(bundle.members_unseen_by(sha256, group, copies=copies[group])) == members
        for sha256, group in zip(contents["sha256"], contents["group"], strict=True)
    ]
    return contents[free & np.array(new, dtype=np.bool_)]


def _answers(
    run: Run, listing: Listing, contents: pd.DataFrame, bundle: Bundle
) -> Iterator[tuple[str, Prediction]]:
    """By digest; images that it rejects in service are left out."""
    read, report = image_reader(run, listing), progress()
    for start in range(0, len(contents), IMAGES_IN_HAND):
        some = contents.iloc[start : start + IMAGES_IN_HAND]
        digests, pixels = [], []
        for sha256, path in zip(some["sha256"], some["path"], strict=True):
            try:
                pixels.append(bundle.pixels(read(path)))
            except ImageRejected:
                continue
            digests.append(str(sha256))
        if digests:
            yield from zip(digests, bundle.decide(bundle.predict_pixels(np.stack(pixels))), strict=True)
        report(start + len(some), len(contents), "images")
