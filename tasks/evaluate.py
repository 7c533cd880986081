"""Evaluate: the exported bundle itself, on images that its members never saw."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from tasks.catalogue import Catalogue, read_catalogue
from tasks.data.catalogue import CatalogueTable
from tasks.evaluation.metrics import Evaluation, evaluate
from tasks.evaluation.out_of_fold import HonestPredictions, judge, reported_folds
from tasks.export import ExportedBundle
from tasks.ingest import Listing, image_reader
from tasks.models.bundle import Bundle, load_bundle
from tasks.models.manifest import amended
from tasks.record import FileReference, Record
from tasks.run import Run, block_options
from tasks.stage import progress, stage

IMAGES_IN_HAND = 256
DECODE_THREADS = 4
PREDICTION_COLUMNS = ["path", "sha256", "group", "fold", "label", "predicted", "threshold"]


class EvaluatedBundle(Record):
    """A bundle with its threshold, and the honest figures of its members."""

    evaluation: Evaluation = Field(description="The figures.")
    evaluation_file: FileReference = Field(description="evaluation.json.")
    predictions: FileReference = Field(
        description="predictions.parquet: a row an image, by who never saw it."
    )
    manifest: FileReference = Field(description="bundle.json with threshold, temperature and figures.")
    threshold: float | None = Field(description="The served threshold.")
    temperature: float = Field(description="The served temperature.")
    not_reported: int = Field(ge=0, description="Images of the reported folds that no member may judge.")


@stage("evaluate", version=1)
def evaluate_bundle(
    run: Run, listing: Listing, found: Catalogue, exported: ExportedBundle, recall_target: float
) -> EvaluatedBundle:
    """Predict each image by members that saw neither it nor a copy, choose the threshold elsewhere, judge."""
    table = read_catalogue(run, found)
    bundle = load_bundle(
        run.open_workspace().uri(exported.folder), block_options(run.workspace_block), run.cache_root
    )
    rows, logits = predict_unseen(run, listing, table, bundle)
    concerned = _concerned(rows, found)
    rows, logits = rows[concerned], logits[concerned]
    labels = np.array([found.classes.index(label) for label in rows["label"]], dtype=np.int64)
    positive = None if found.positive_class is None else found.classes.index(found.positive_class)
    judged = judge(
        labels,
        logits,
        rows["fold"].to_numpy(np.int64),
        straddling=(rows["straddles"] != "").to_numpy(np.bool_),
        reported_folds=reported_folds(found.protocol, found.n_folds),
        positive=positive,
        recall_target=recall_target,
    )
    evaluation = _figures(found, rows, labels, judged)
    served = judged.served
    manifest = amended(
        bundle.manifest,
        threshold=served.threshold,
        temperature=served.temperature,
        metrics=evaluation.model_dump(mode="json"),
    )
    wanted = table.frame["fold"].isin(reported_folds(found.protocol, found.n_folds)) & _concerned(
        table.frame, found
    )
    return EvaluatedBundle(
        evaluation=evaluation,
        evaluation_file=run.write("evaluation.json", evaluation.model_dump_json(indent=2).encode()),
        predictions=run.write("predictions.parquet", _parquet(found, rows, judged)),
        manifest=run.write("bundle.json", manifest.model_dump_json(indent=2).encode()),
        threshold=served.threshold,
        temperature=served.temperature,
        not_reported=int((wanted & ~table.frame["conflict"]).sum()) - evaluation.n,
    )


def _concerned(rows: pd.DataFrame, found: Catalogue) -> "pd.Series[bool]":
    """Rows that take part: in a given split, copies of test images that were meant for training do not."""
    if found.protocol != "given_split":
        return pd.Series(True, index=rows.index)
    return (rows["fold"] != 0) | (rows["split"] == "test")


def predict_unseen(
    run: Run, listing: Listing, table: CatalogueTable, bundle: Bundle
) -> tuple[pd.DataFrame, npt.NDArray[np.float64]]:
    """Rows of the catalogue that some member never saw, with the mean logits (n, classes) of those members.

    Copies of one content are predicted once; conflicts are left out.
    """
    contents = table.contents
    read = image_reader(run, listing)
    copies = contents.groupby("group")["sha256"].agg(list).to_dict()
    report, total = progress(), len(contents)
    logits = np.zeros((total, len(bundle.manifest.classes)))
    judged = np.zeros(total, dtype=np.bool_)
    with ThreadPoolExecutor(DECODE_THREADS) as pool:
        for start in range(0, total, IMAGES_IN_HAND):
            some = contents.iloc[start : start + IMAGES_IN_HAND]
            pixels = np.stack(list(pool.map(lambda path: bundle.pixels(read(path)), some["path"])))
            groups = some["group"].tolist()
            found, mask = bundle.predict_unseen(
                pixels, some["sha256"].tolist(), groups, [copies[group] for group in groups]
            )
            stop = start + len(some)
            logits[start:stop], judged[start:stop] = found, mask
            report(stop, total, "images")
    place = {sha256: row for row, sha256 in enumerate(contents["sha256"]) if judged[row]}
    frame = table.frame[~table.frame["conflict"] & table.frame["sha256"].isin(place)]
    frame = frame.sort_values("path", ignore_index=True)
    return frame, logits[[place[sha256] for sha256 in frame["sha256"]]]


def _figures(
    found: Catalogue, rows: pd.DataFrame, labels: npt.NDArray[np.int64], judged: HonestPredictions
) -> Evaluation:
    reported = judged.reported
    return evaluate(
        labels[reported],
        judged.probabilities[reported],
        judged.predicted[reported],
        pd.factorize(rows["group"])[0][reported],
        list(found.classes),
        positive_class=found.positive_class,
        protocol=found.protocol,
    )


def _parquet(found: Catalogue, rows: pd.DataFrame, judged: HonestPredictions) -> bytes:
    frame = rows[["path", "sha256", "group", "fold", "label"]].copy()
    frame["predicted"] = [found.classes[index] for index in judged.predicted]
    frame["threshold"] = judged.thresholds
    for index, name in enumerate(found.classes):
        frame[f"probability_{name}"] = judged.probabilities[:, index]
    data = io.BytesIO()
    frame[judged.reported].to_parquet(data, index=False)
    return data.getvalue()
