"""Check robustness: does the model say the same of images that were compressed, blurred, brightened or cropped?"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from tasks.catalogue import Catalogue, copies_ever, ledger_state, read_catalogue
from tasks.data.catalogue_table import CatalogueTable
from tasks.engine.run import Run
from tasks.engine.stage import progress, stage
from tasks.evaluate import EvaluatedBundle, judge_rows, may_be_judged
from tasks.evaluation.robustness import UNCHANGED, AfterChange, after_change, sample_of_each_class
from tasks.evaluation.settings import ThresholdRule
from tasks.export import ExportedBundle, load_by_manifest
from tasks.images.decode import decoded, prepare
from tasks.images.perturb import PERTURBATIONS
from tasks.images.settings import Preprocessing
from tasks.ingest import Listing, image_reader
from tasks.models.bundle import Bundle
from tasks.predict import UnseenPredictions, read_unseen
from tasks.record import Record

Pixels = NDArray[np.uint8]

_IMAGES_IN_HAND = 64
_DECODE_THREADS = 4


class Robustness(Record):
    """What small changes do to the figures, on a sample."""

    images: int = Field(
        ge=1, description="Images of the sample, one a group, as many of each class as there are."
    )
    rows: tuple[AfterChange, ...] = Field(description="The sample unchanged, and after each change.")

    def in_words(self) -> str:
        """Which change matters most."""
        worst = max(self.rows, key=lambda row: row.other_answer.value or 0.0)
        return f"of {self.images} images {worst.other_answer.value or 0:.0%} get another answer when {worst.change}"


@stage("check-robustness", version=1, state=ledger_state)
def check_robustness(
    run: Run,
    listing: Listing,
    catalogue: Catalogue,
    bundle: ExportedBundle,
    predictions: UnseenPredictions,
    evaluated: EvaluatedBundle,
    most_images: int,
) -> Robustness:
    """Judge a sample of the evaluated images again after each change, by the networks and rules that judged them."""
    table = read_catalogue(run, catalogue)
    unseen = read_unseen(run, catalogue, predictions)
    rows, (logits, *_) = unseen.by_file(table)
    concerned = may_be_judged(rows, catalogue)
    rows, logits = rows[concerned].reset_index(drop=True), logits[concerned]
    loaded = load_by_manifest(run, bundle.manifest)
    judges = unseen.judges(rows, len(loaded.manifest.members))
    judged = judge_rows(catalogue, rows, logits, judges, evaluated.rule or ThresholdRule())
    chosen = sample_of_each_class(rows[judged.reported], most_images).index.to_numpy(np.int64)
    sample = rows.iloc[chosen]
    unchanged = judged.predicted[chosen]
    found = []
    for change, values in _changed_logits(run, listing, table, loaded, sample, logits[chosen]):
        altered = logits.copy()
        altered[chosen] = values
        probabilities, predicted = judged.applied_to(altered)
        found.append(
            after_change(
                change,
                judged.images.labels[chosen],
                sample["group"],
                (probabilities[chosen], predicted[chosen]),
                unchanged,
                list(catalogue.classes),
                positive_class=catalogue.positive_class,
                protocol=catalogue.protocol,
            )
        )
    return Robustness(images=len(chosen), rows=tuple(found))


def _changed_logits(
    run: Run,
    listing: Listing,
    table: CatalogueTable,
    bundle: Bundle,
    rows: pd.DataFrame,
    unchanged: NDArray[np.float64],
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Logits float64 (n, classes) of the rows' images: as they were predicted, and after each change."""
    yield UNCHANGED, unchanged
    read, copies = image_reader(run, listing), copies_ever(run, table)
    report = progress()
    with ThreadPoolExecutor(_DECODE_THREADS) as pool:
        for done, (change, alter) in enumerate(PERTURBATIONS.items(), start=1):
            parts = []
            for start in range(0, len(rows), _IMAGES_IN_HAND):
                some = rows.iloc[start : start + _IMAGES_IN_HAND]
                groups = some["group"].tolist()
                prepared = partial(_prepared, bundle, read, alter)
                ways = list(pool.map(prepared, some["path"]))
                images = {way: np.stack([one[way] for one in ways]) for way in ways[0]}
                values, _ = bundle.predict_unseen(
                    images, some["sha256"].tolist(), groups, [copies[group] for group in groups]
                )
                parts.append(values)
            yield change, np.concatenate(parts).astype(np.float64)
            report(done, len(PERTURBATIONS), "changes")


def _prepared(
    bundle: Bundle, read: Callable[[str], bytes], alter: Callable[[Pixels], Pixels], path: str
) -> Mapping[Preprocessing, Pixels]:
    """A changed image in each way that a member wants it, uint8 (S, S, 3) RGB."""
    with decoded(read(path), bundle.manifest.decode_limits) as image:
        pixels = alter(image.pixels)
        return {way: prepare(pixels, way) for way in bundle.manifest.preprocessings}
