"""Choose tasks: which images people should look at, in which order, and what the machine suggests."""

import io
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from tasks.data.catalogue_table import typed
from tasks.engine.kept import file_of_last_run
from tasks.engine.run import Run, write_file
from tasks.engine.stage import progress, stage
from tasks.ingest import Listing, image_reader, read_listing
from tasks.label_begin import Labelling
from tasks.labelling.assistance import AssistanceFigures, Assistant, train_assistant
from tasks.labelling.candidates import SUGGESTED, Candidate, find_candidates
from tasks.labelling.choice import side_by_side, teaching_order, uncertainty
from tasks.labelling.pool import Pool, gathered, pool_features, unlike_the_store
from tasks.labelling.sampling import mixed, random_order
from tasks.labelling.settings import LabellingSettings
from tasks.labelling.sources import copies_found, doubted, logged_images
from tasks.labelling.standing import Standing, read_standing
from tasks.record import FileReference, Record
from tasks.stores.layout import LABEL_QUEUE

QUEUE_COLUMNS: Final = {
    "sha256": "str",
    "path": "str",
    "reason": "str",
    "suggestion": "str",
    "probability": "float64",
    "sure": "bool",
    "selection_probability": "float64",
}
"""Columns of queue.parquet, a row an image to ask about, in order. `suggestion` is the likeliest class, or "" without a
model; `sure`: people are shown it; `selection_probability` of what is drawn at random among all unlabelled, else 0."""


class TaskQueue(Record):
    """What is to be asked."""

    queue: FileReference = Field(description="labels/<name>/queue.parquet: " + ", ".join(QUEUE_COLUMNS))
    contents: int = Field(ge=0, description="Distinct images of the store.")
    unusable: int = Field(
        ge=0, description="Of these, images that cannot be decoded; nobody is asked about them."
    )
    gone: int = Field(ge=0, description="Contents that people decided on and that the store no longer has.")
    reasons: dict[str, int] = Field(description="Images to ask about, by reason.")
    assistance: AssistanceFigures = Field(description="What the machine knows.")

    def in_words(self) -> str:
        """How many images are to be asked about, by reason."""
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.reasons.items())
        return f"to be asked about: {reasons or 'none'}; {self.unusable} unusable"


@stage("choose-tasks", version=1, reusable=False)
def choose_tasks(run: Run, listing: Listing, labelling: Labelling) -> TaskQueue:
    """Find the images to ask about, train on the labels so far, and order the rest by what teaches most."""
    settings = labelling.settings
    workspace, frame = run.open_workspace(), read_listing(run, listing)
    standing = read_standing(workspace, run.name)
    logged = logged_images(workspace, run.name) if settings.low_confidence else []
    in_store = set(frame["sha256"])
    strangers = {one.path: one.data for one in logged if one.sha256 not in in_store and one.data is not None}
    pool = gathered(workspace, frame, image_reader(run, listing), strangers, progress())
    features, why_none = pool_features(workspace, pool, assist=settings.assist, progress=progress())
    near_pairs = _of_last_run(run, "catalogue", "near_pairs")
    found = find_candidates(
        {sha256: pool.given[sha256] for sha256 in pool.sha256s},
        pool.paths,
        standing.verdicts,
        copies=[*pool.same_pixels(), *copies_found(near_pairs)],
        likely_copies=copies_found(near_pairs, asked=True),
        suspects=doubted(_of_last_run(run, "report", "suspects")) if settings.suspects else (),
        uncertain=[one.sha256 for one in logged if one.probability < settings.low_confidence],
        unlike=unlike_the_store(pool, features),
    )
    # An image of the log alone is asked about only for a reason of its own.
    candidates = [one for one in found if one.sha256 in in_store or one.reason != "unlabelled"]
    trained = _trained(pool, features, why_none, candidates, standing, settings)
    rows = _ordered(pool, features, candidates, trained, settings)
    return TaskQueue(
        queue=write_file(workspace, LABEL_QUEUE.path(name=run.name), rows.to_parquet(index=False)),
        contents=len(in_store),
        unusable=len(in_store - set(pool.sha256s)),
        gone=sum(
            bool(verdict.votes or verdict.reviewed_by) and sha256 not in in_store
            for sha256, verdict in standing.verdicts.items()
        ),
        reasons={str(name): int(count) for name, count in rows["reason"].value_counts(sort=False).items()},
        assistance=trained.figures if isinstance(trained, Assistant) else trained,
    )


def read_queue(run: Run) -> pd.DataFrame:
    """The last queue with QUEUE_COLUMNS; empty before the first one."""
    workspace, path = run.open_workspace(), LABEL_QUEUE.path(name=run.name)
    if not workspace.exists(path):
        return typed(pd.DataFrame(columns=list(QUEUE_COLUMNS)), QUEUE_COLUMNS)
    return typed(pd.read_parquet(io.BytesIO(workspace.read(path))), QUEUE_COLUMNS)


def image_source(run: Run, listing: Listing) -> Callable[[str], bytes]:
    """Reads an image of the store, or of the endpoint's log, by the path in the queue."""
    read = image_reader(run, listing)
    logged = {
        one.path: one.data for one in logged_images(run.open_workspace(), run.name) if one.data is not None
    }
    return lambda path: logged[path] if path in logged else read(path)


def _of_last_run(run: Run, stage: str, field: str) -> bytes | None:
    """The file in a field of the record that the newest run of the data set had of a stage."""
    file = file_of_last_run(run.open_workspace(), run.name, stage, field)
    return None if file is None else run.read(file)


def _trained(
    pool: Pool,
    features: NDArray[np.float32] | None,
    why_none: str,
    candidates: Sequence[Candidate],
    standing: Standing,
    settings: LabellingSettings,
) -> Assistant | AssistanceFigures:
    """Train on what is labelled and not in question."""
    asked = {one.sha256 for one in candidates}
    labels: dict[int, str] = {}
    for row, sha256 in enumerate(pool.sha256s):
        came_with = pool.given[sha256]
        label, _ = standing.label_of(sha256, next(iter(came_with)) if len(came_with) == 1 else None)
        if label in settings.classes and sha256 not in asked:
            labels[row] = str(label)
    if features is None:
        counts = pd.Series(list(labels.values()), dtype=object).value_counts()
        told = {name: int(counts.get(name, 0)) for name in settings.classes}
        return AssistanceFigures(model=None, why_none=why_none, labels=told, precision=settings.precision)
    rows = np.array(sorted(labels), dtype=np.int64)
    return train_assistant(
        features[rows],
        [labels[int(row)] for row in rows],
        pool.groups[rows],
        settings.classes,
        precision=settings.precision,
        made="\n".join(pool.sha256s[row] for row in rows),
    )


def _ordered(
    pool: Pool,
    features: NDArray[np.float32] | None,
    candidates: Sequence[Candidate],
    trained: Assistant | AssistanceFigures,
    settings: LabellingSettings,
) -> pd.DataFrame:
    """The queue: reasons in their order, then unlabelled images, some of which are drawn at random.

    The others stand in the order of what they teach, those last that the machine knows well.
    """
    rows = pd.DataFrame(
        {
            "sha256": [one.sha256 for one in candidates],
            "path": [one.path for one in candidates],
            "reason": [one.reason for one in candidates],
            "suggestion": "",
            "probability": 0.0,
            "sure": False,
            "selection_probability": 0.0,
        }
    )
    free = np.flatnonzero(rows["reason"] == "unlabelled")
    values = None
    doubt: NDArray[np.float64] | None = None
    if features is not None and candidates:
        place = {sha256: row for row, sha256 in enumerate(pool.sha256s)}
        values = features[[place[one.sha256] for one in candidates]]
    if values is not None and isinstance(trained, Assistant):
        probabilities = trained.probabilities(values)
        doubt = uncertainty(probabilities)
        best = probabilities.argmax(axis=1)
        rows["suggestion"] = [trained.classes[index] for index in best]
        rows["probability"] = probabilities.max(axis=1)
        if trained.figures.threshold is not None:
            rows["sure"] = (rows["probability"] >= trained.figures.threshold) & rows["reason"].isin(SUGGESTED)
    ask = free[~rows["sure"].to_numpy(np.bool_)[free]]
    if values is not None:
        ask = ask[teaching_order(values[ask], None if doubt is None else doubt[ask], settings.queue_images)]
    known = np.setdiff1d(free, ask)
    parts = [ask]
    for label in settings.classes:
        of_class = known[rows["suggestion"].to_numpy()[known] == label]
        parts.append(of_class if values is None else of_class[side_by_side(values[of_class])])
    drawn = free[random_order(rows["sha256"].to_numpy(str)[free].tolist())]
    order, at_random = mixed(np.concatenate(parts), drawn, settings.random_share)
    chosen = order[at_random]
    # Nothing is suggested of these: a label that the machine had a say in speaks for the machine.
    rows.loc[chosen, "reason"] = "random"
    rows.loc[chosen, "sure"] = False
    soon = int(at_random[: settings.queue_images].sum())
    rows.loc[chosen, "selection_probability"] = soon / len(free) if soon else 0.0
    first = np.setdiff1d(np.arange(len(rows)), free)
    return typed(rows.iloc[np.concatenate([first, order])].reset_index(drop=True), QUEUE_COLUMNS)
