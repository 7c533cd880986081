"""Evaluate: from what was said of unseen images to a threshold and honest figures; nothing is predicted anew."""

import io
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from tasks.catalogue import Catalogue, read_catalogue
from tasks.data.catalogue_table import CatalogueTable
from tasks.data.given_split import Leak, leak_of
from tasks.data.labels import IN_BOTH
from tasks.engine.run import Run
from tasks.engine.stage import stage
from tasks.evaluation.faster import compare_precisions
from tasks.evaluation.intervals import Floats, Ints
from tasks.evaluation.member_spread import member_figures, variance_between
from tasks.evaluation.metrics import Evaluation, evaluate
from tasks.evaluation.operating_rule import JudgedImages, judge_shares
from tasks.evaluation.out_of_fold import HonestPredictions, judge, reported_folds
from tasks.evaluation.promise import OperatingFacts, operating_facts
from tasks.evaluation.rechosen import rechosen_counts, with_choice
from tasks.evaluation.settings import ThresholdRule
from tasks.evaluation.words import with_interval
from tasks.ingest import Listing, read_listing
from tasks.models.manifest import amended, read_manifest
from tasks.predict import UnseenPredictions, read_unseen
from tasks.record import FileReference, Record

Mask = npt.NDArray[np.bool_]


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
    rule: ThresholdRule | None = Field(
        default=None,
        exclude_if=lambda rule: rule is None,
        description="By which thresholds were chosen; None of one of 0.1.0.",
    )
    operating: OperatingFacts | None = Field(
        default=None,
        exclude_if=lambda facts: facts is None,
        description="What may be promised of the served threshold, and what the last of its recall costs.",
    )
    card: FileReference | None = Field(
        default=None,
        exclude_if=lambda card: card is None,
        description="model_card.md, once the bundle is described.",
    )
    not_reported: int = Field(ge=0, description="Images to be reported on that no member may judge.")
    leak: Leak | None = Field(default=None, description="Copies on both sides of a given split.")
    evaluation_without_leaks: Evaluation | None = Field(
        default=None,
        description="The figures of the test files without a copy among the given training files; only with a "
        "given split, and where such files are left.",
    )

    def in_words(self) -> str:
        """The figures that decide."""
        figures = self.evaluation
        shown = {"recall": figures.recall, "specificity": figures.specificity, "AUC": figures.auc}
        return ", ".join(f"{name} {with_interval(figure)}" for name, figure in shown.items())


@stage("evaluate", version=7)
def evaluate_bundle(
    run: Run,
    listing: Listing,
    catalogue: Catalogue,
    predictions: UnseenPredictions,
    rule: ThresholdRule,
) -> EvaluatedBundle:
    """Judge each image by a rule that was chosen without it and its copies, and count."""
    table = read_catalogue(run, catalogue)
    before = read_manifest(run.read(predictions.bundle), run.open_workspace().uri(predictions.bundle.path))
    unseen = read_unseen(run, catalogue, predictions)
    rows, (logits, *faster_logits) = unseen.by_file(table)
    concerned = may_be_judged(rows, catalogue)
    rows, logits = rows[concerned], logits[concerned]
    judges = unseen.judges(rows, len(before.members))
    judged = judge_rows(catalogue, rows, logits, judges, rule)
    at_target = judge_rows(catalogue, rows, logits, judges, rule.at_target)
    evaluation = _figures_of_procedure(catalogue, rows, judged, judged.reported)
    leak, clean = (
        _leak(run, listing, table, rows, judged) if catalogue.protocol == "given_split" else (None, None)
    )
    served = judged.served
    faster = None
    if predictions.runtime is not None:
        said = judged.applied_to(faster_logits[0][concerned])
        others = replace(judged, probabilities=said[0], predicted=said[1])
        figures = _figures(catalogue, rows, others, judged.reported)
        faster = compare_precisions(evaluation, figures, predictions.runtime)
    manifest = amended(
        before,
        threshold=served.threshold,
        temperature=served.temperature,
        offsets=served.offsets.tolist(),
        members=[
            {**member.model_dump(), "offsets": moved.tolist()}
            for member, moved in zip(before.members, served.members, strict=True)
        ],
        metrics=evaluation.model_dump(mode="json"),
        faster=None if faster is None else faster.model_dump(),
    )
    return EvaluatedBundle(
        evaluation=evaluation,
        evaluation_file=run.write("evaluation.json", evaluation.model_dump_json(indent=2).encode()),
        predictions=run.write("predictions.parquet", _parquet(catalogue, rows, judged, at_target)),
        manifest=run.write("bundle.json", manifest.model_dump_json(indent=2).encode()),
        threshold=served.threshold,
        temperature=served.temperature,
        rule=rule,
        operating=_operating(judged),
        not_reported=_wanted(table, catalogue) - evaluation.n,
        leak=leak,
        evaluation_without_leaks=(
            _figures_of_procedure(catalogue, rows, judged, clean)
            if clean is not None and clean.any()
            else None
        ),
    )


def read_predictions(run: Run, evaluated: EvaluatedBundle) -> pd.DataFrame:
    """One row a reported image: path, sha256, group, fold, label, predicted, threshold, probability_<class>.

    `predicted_at_target` is by a threshold that insists on the recall target.
    """
    return pd.read_parquet(io.BytesIO(run.read(evaluated.predictions)))


def judge_rows(
    catalogue: Catalogue,
    rows: pd.DataFrame,
    logits: Floats,
    judges: npt.NDArray[np.bool_],
    rule: ThresholdRule,
) -> HonestPredictions:
    """What logits (n, classes) of rows mean, whose members (n, members) never saw them, by rules chosen elsewhere."""
    images = JudgedImages(
        labels=catalogue.label_indices(rows["label"]),
        logits=logits,
        judges=judge_shares(judges),
        groups=pd.factorize(rows["group"])[0].astype(np.int64),
    )
    return judge(
        images,
        judged_folds(rows, catalogue),
        straddling=(rows["straddles"] != "").to_numpy(np.bool_),
        reported_folds=reported_folds(catalogue.protocol, catalogue.n_folds),
        positive=catalogue.positive_index,
        rule=rule,
    )


def may_be_judged(rows: pd.DataFrame, catalogue: Catalogue) -> Mask:
    """Rows (n,) that may choose a rule or be judged by one."""
    return (~beside_the_test(rows, catalogue)).to_numpy(np.bool_)


def judged_folds(rows: pd.DataFrame, catalogue: Catalogue) -> Ints:
    """The folds (n,) by which rows are judged: a given test image is one wherever an earlier run had put it."""
    folds = rows["fold"].to_numpy(np.int64)
    if catalogue.protocol != "given_split":
        return folds
    return np.where(rows["split"] == "test", 0, folds)


def beside_the_test(rows: pd.DataFrame, catalogue: Catalogue) -> "pd.Series[bool]":
    """Rows that no one may learn from or is judged on: given training images that touch the test fold."""
    if catalogue.protocol != "given_split":
        return pd.Series(False, index=rows.index)
    return (rows["fold"] == 0) & (rows["split"] != "test")


def _wanted(table: CatalogueTable, catalogue: Catalogue) -> int:
    """Files that the figures are meant to cover."""
    rows = table.frame[~table.frame["conflict"] & ~beside_the_test(table.frame, catalogue)]
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


def _figures(
    catalogue: Catalogue,
    rows: pd.DataFrame,
    judged: HonestPredictions,
    chosen: Mask,
) -> Evaluation:
    return evaluate(
        judged.images.labels[chosen],
        judged.probabilities[chosen],
        judged.predicted[chosen],
        pd.factorize(rows["group"])[0][chosen],
        list(catalogue.classes),
        positive_class=catalogue.positive_class,
        protocol=catalogue.protocol,
    )


def _figures_of_procedure(
    catalogue: Catalogue, rows: pd.DataFrame, judged: HonestPredictions, chosen: Mask
) -> Evaluation:
    """With intervals that know that scales and threshold were chosen, and that networks differ."""
    figures = _figures(catalogue, rows, judged, chosen)
    images, positive = judged.images[chosen], judged.positive
    missed, members = np.inf, figures.members
    if positive is not None:
        truth = images.labels == positive
        called, scores = judged.predicted[chosen] == positive, judged.probabilities[chosen, positive]
        members = member_figures(truth, scores, called, images.groups, images.members)
        missed = (1 - judged.rule.recall_target) * np.unique(images.groups[truth]).size
    counts = rechosen_counts(judged, chosen)
    wider = with_choice(figures, counts, missed=missed, between=variance_between(members))
    return wider.model_copy(update={"members": members})


def _operating(judged: HonestPredictions) -> OperatingFacts | None:
    """Of the served rule, on the images that it was chosen on."""
    if judged.positive is None:
        return None
    chose = np.any([one.choosing for one, _ in judged.rounds], axis=0)
    return operating_facts(judged.images[chose], judged.served, judged.positive, judged.rule)


def _parquet(
    catalogue: Catalogue, rows: pd.DataFrame, judged: HonestPredictions, at_target: HonestPredictions
) -> bytes:
    frame = rows[["path", "sha256", "group", "fold", "label"]].copy()
    frame["predicted"] = [catalogue.classes[index] for index in judged.predicted]
    frame["predicted_at_target"] = [catalogue.classes[index] for index in at_target.predicted]
    frame["threshold"] = judged.thresholds
    for index, name in enumerate(catalogue.classes):
        frame[f"probability_{name}"] = judged.probabilities[:, index]
    return frame[judged.reported].to_parquet(index=False)
