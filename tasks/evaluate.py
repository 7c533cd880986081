"""Evaluate: the exported bundle itself, on images that its members never saw."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from tasks.catalogue import Catalogue, ledger_of, read_catalogue
from tasks.data.catalogue_table import CatalogueTable
from tasks.data.folds import FoldLedger
from tasks.data.given_split import Leak, leak_of
from tasks.data.labels import IN_BOTH
from tasks.engine.run import Run
from tasks.engine.stage import progress, stage
from tasks.evaluation.faster import compare_precisions
from tasks.evaluation.metrics import Evaluation, evaluate
from tasks.evaluation.out_of_fold import HonestPredictions, judge, reported_folds
from tasks.export import ExportedBundle, load_by_manifest
from tasks.images.settings import Preprocessing
from tasks.ingest import Listing, image_reader, read_listing
from tasks.models.bundle import Bundle
from tasks.models.manifest import amended
from tasks.models.runtimes import faster_runtime
from tasks.record import FileReference, Record

Mask = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]

IMAGES_IN_HAND = 256
DECODE_THREADS = 4


class EvaluatedBundle(Record):
    """A bundle with its threshold, and the honest figures of its members."""

    evaluation: Evaluation = Field(description="The figures.")
    evaluation_file: FileReference = Field(description="evaluation.json.")
    predictions: FileReference = Field(
        description="predictions.parquet: a row an image, by who never saw it."
    )
    manifest: FileReference = Field(description="bundle.json with temperatures, thresholds and figures.")
    threshold: float | None = Field(description="The served threshold.")
    temperature: float = Field(description="The served temperature.")
    not_reported: int = Field(ge=0, description="Images to be reported on that no member may judge.")
    leak: Leak | None = Field(default=None, description="Copies on both sides of a given split.")
    evaluation_without_leaks: Evaluation | None = Field(
        default=None,
        description="The figures of the test files without a copy among the given training files; only with a "
        "given split, and where such files are left.",
    )


@stage("evaluate", version=4)
def evaluate_bundle(
    run: Run, listing: Listing, catalogue: Catalogue, bundle: ExportedBundle, recall_target: float
) -> EvaluatedBundle:
    """Predict each image by members that saw neither it nor a copy, choose the threshold elsewhere, judge."""
    table = read_catalogue(run, catalogue)
    runtime = faster_runtime()
    bundles = [load_by_manifest(run, bundle.manifest)]
    if runtime is not None:
        bundles.append(load_by_manifest(run, bundle.manifest, "bfloat16"))
    rows, (logits, *faster_logits) = predict_unseen(run, listing, table, bundles)
    concerned = (~_beside_the_test(rows, catalogue)).to_numpy(np.bool_)
    rows, logits = rows[concerned], logits[concerned]
    folds = judged_folds(rows, catalogue)
    labels = catalogue.label_indices(rows["label"])
    positive = catalogue.positive_index
    judged = judge(
        labels,
        logits,
        folds,
        straddling=(rows["straddles"] != "").to_numpy(np.bool_),
        reported_folds=reported_folds(catalogue.protocol, catalogue.n_folds),
        positive=positive,
        recall_target=recall_target,
    )
    evaluation = _figures(catalogue, rows, labels, judged, judged.reported)
    leak, clean = (
        _leak(run, listing, table, rows, judged) if catalogue.protocol == "given_split" else (None, None)
    )
    served = judged.served
    faster = None
    if runtime is not None:
        said = judged.applied_to(faster_logits[0][concerned], folds, positive)
        others = replace(judged, probabilities=said[0], predicted=said[1])
        figures = _figures(catalogue, rows, labels, others, judged.reported)
        faster = compare_precisions(evaluation, figures, runtime)
    manifest = amended(
        bundles[0].manifest,
        threshold=served.threshold,
        temperature=served.temperature,
        fold_rules=[
            {"fold": fold, "temperature": rule.temperature, "threshold": rule.threshold}
            for fold, rule in judged.rules.items()
        ],
        metrics=evaluation.model_dump(mode="json"),
        faster=None if faster is None else faster.model_dump(),
    )
    return EvaluatedBundle(
        evaluation=evaluation,
        evaluation_file=run.write("evaluation.json", evaluation.model_dump_json(indent=2).encode()),
        predictions=run.write("predictions.parquet", _parquet(catalogue, rows, judged)),
        manifest=run.write("bundle.json", manifest.model_dump_json(indent=2).encode()),
        threshold=served.threshold,
        temperature=served.temperature,
        not_reported=_wanted(table, catalogue) - evaluation.n,
        leak=leak,
        evaluation_without_leaks=(
            _figures(catalogue, rows, labels, judged, clean) if clean is not None and clean.any() else None
        ),
    )


def judged_folds(rows: pd.DataFrame, catalogue: Catalogue) -> npt.NDArray[np.int64]:
    """The folds (n,) by which rows are judged: a given test image is one wherever an earlier run had put it."""
    folds = rows["fold"].to_numpy(np.int64)
    if catalogue.protocol != "given_split":
        return folds
    return np.where(rows["split"] == "test", 0, folds)


def _beside_the_test(rows: pd.DataFrame, catalogue: Catalogue) -> "pd.Series[bool]":
    """Rows that no one may learn from or is judged on: given training images that touch the test fold."""
    if catalogue.protocol != "given_split":
        return pd.Series(False, index=rows.index)
    return (rows["fold"] == 0) & (rows["split"] != "test")


def _wanted(table: CatalogueTable, catalogue: Catalogue) -> int:
    """Files that the figures are meant to cover."""
    rows = table.frame[~table.frame["conflict"] & ~_beside_the_test(table.frame, catalogue)]
    return int(
        np.isin(
            judged_folds(rows, catalogue), list(reported_folds(catalogue.protocol, catalogue.n_folds))
        ).sum()
    )


def _leak(
    run: Run, listing: Listing, table: CatalogueTable, rows: pd.DataFrame, judged: HonestPredictions
) -> tuple[Leak, Mask]:
    """The leak of a given split, and which rows are reported and have no copy in training."""
    listed = read_listing(run, listing)
    leak, leaking = leak_of(table.frame, listed.loc[listed[IN_BOTH], "path"].tolist())
    clean = ~rows["path"].isin(table.frame.loc[leaking, "path"]).to_numpy(np.bool_)
    return leak, judged.reported & clean


def predict_unseen(
    run: Run, listing: Listing, table: CatalogueTable, bundles: Sequence[Bundle]
) -> tuple[pd.DataFrame, list[npt.NDArray[np.float64]]]:
    """Rows of the catalogue that some member never saw, and the mean logits (n, classes) of those members.

    The `bundles` are one and the same, computed in different precisions: each image is read and decoded once. Copies of
    one content are predicted once; conflicts are left out.
    """
    contents = table.contents
    read = image_reader(run, listing)
    copies = copies_ever(run, table)
    report, total = progress(), len(contents)
    first = bundles[0]
    logits = [np.zeros((total, len(first.manifest.classes))) for _ in bundles]
    judged = np.zeros(total, dtype=np.bool_)
    with ThreadPoolExecutor(DECODE_THREADS) as pool:
        for start in range(0, total, IMAGES_IN_HAND):
            some = contents.iloc[start : start + IMAGES_IN_HAND]
            images = _stacked(pool.map(lambda path: first.prepared(read(path)), some["path"]), len(some))
            groups = some["group"].tolist()
            stop = start + len(some)
            for bundle, values in zip(bundles, logits, strict=True):
                values[start:stop], judged[start:stop] = bundle.predict_unseen(
                    images, some["sha256"].tolist(), groups, [copies[group] for group in groups]
                )
            report(stop, total, "images")
    place = {sha256: row for row, sha256 in enumerate(contents["sha256"]) if judged[row]}
    frame = table.frame[~table.frame["conflict"] & table.frame["sha256"].isin(place)]
    frame = frame.sort_values("path", ignore_index=True)
    rows = [place[sha256] for sha256 in frame["sha256"]]
    return frame, [values[rows] for values in logits]


def _stacked(images: Iterable[Mapping[Preprocessing, Pixels]], n: int) -> dict[Preprocessing, Pixels]:
    """From each of n images, prepared in several ways, to uint8 (n, S, S, 3) for each way."""
    stacked: dict[Preprocessing, Pixels] = {}
    for row, image in enumerate(images):
        for way, pixels in image.items():
            stacked.setdefault(way, np.empty((n, *pixels.shape), np.uint8))[row] = pixels
    return stacked


def copies_ever(run: Run, table: CatalogueTable) -> dict[str, list[str]]:
    """The contents of each group, those included that are gone from the store: a member may have learnt from them."""
    ledger = FoldLedger.from_bytes(ledger_of(run).read()[1], table.n_folds)
    ever: dict[str, list[str]] = {}
    for sha256, entry in ledger.entries.items():
        ever.setdefault(entry.group, []).append(sha256)
    return {
        str(group): [
            copy for name in sorted({ledger.entries[sha256].group for sha256 in now}) for copy in ever[name]
        ]
        for group, now in table.contents.groupby("group")["sha256"]
    }


def _figures(
    catalogue: Catalogue,
    rows: pd.DataFrame,
    labels: npt.NDArray[np.int64],
    judged: HonestPredictions,
    chosen: Mask,
) -> Evaluation:
    return evaluate(
        labels[chosen],
        judged.probabilities[chosen],
        judged.predicted[chosen],
        pd.factorize(rows["group"])[0][chosen],
        list(catalogue.classes),
        positive_class=catalogue.positive_class,
        protocol=catalogue.protocol,
    )


def _parquet(catalogue: Catalogue, rows: pd.DataFrame, judged: HonestPredictions) -> bytes:
    frame = rows[["path", "sha256", "group", "fold", "label"]].copy()
    frame["predicted"] = [catalogue.classes[index] for index in judged.predicted]
    frame["threshold"] = judged.thresholds
    for index, name in enumerate(catalogue.classes):
        frame[f"probability_{name}"] = judged.probabilities[:, index]
    return frame[judged.reported].to_parquet(index=False)
