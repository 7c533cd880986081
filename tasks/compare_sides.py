"""The sides of a comparison: two models, the images that both may judge, and what each says of them."""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from pydantic import Field

from tasks.catalogue import Catalogue, read_catalogue
from tasks.data.grouped_splits import grouped_splits
from tasks.engine.run import Run, block_options
from tasks.errors import ConfigError, DataSetUnusable
from tasks.evaluate import predict_unseen
from tasks.evaluation.intervals import Floats, Ints
from tasks.evaluation.metrics import Evaluation, evaluate
from tasks.evaluation.out_of_fold import judge
from tasks.ingest import Listing
from tasks.models.bundle import Bundle, load_bundle
from tasks.models.registry import Registry
from tasks.record import Record

THRESHOLD_FOLDS: Final = 5
"""Parts, by group, of the common images: the threshold of each is chosen on the others."""

_REGISTERED: Final = re.compile(r"(?:([A-Za-z0-9][A-Za-z0-9._-]*)/)?(champion|challenger|v[1-9][0-9]*)")


class NamedModel(Record):
    """A model to compare."""

    name: str = Field(description="How it is called on the page.")
    uri: str = Field(description="Where its bundle is.")


@dataclass(frozen=True)
class CommonImages:
    """Images that both models may judge.

    `rows` of the catalogue; labels (n,) are class indices, groups (n,) numbers; `logits` (n, classes) of each model by
    the members that may judge. `images` counts all usable ones, `unseen` those that each model may judge.
    """

    rows: pd.DataFrame
    labels: Ints
    groups: Ints
    logits: tuple[Floats, Floats]
    images: int
    unseen: tuple[int, int]


@dataclass(frozen=True)
class Side:
    """One model's honest probabilities (n, classes) and predicted class indices (n,) of the common images."""

    model: NamedModel
    bundle: Bundle
    probabilities: Floats
    predicted: Ints
    evaluation: Evaluation


def find_model(run: Run, model: str) -> NamedModel:
    """A model by what a person calls it.

    A version or alias of the run's model (v3, champion), one of another model of the workspace (chest/v2), or the
    folder or URL of a bundle.

    Raises: RegistryError when the workspace has no such model or version.
    """
    registered = _REGISTERED.fullmatch(model)
    if registered is None:
        return NamedModel(name=model.rstrip("/").rpartition("/")[2] or model, uri=model)
    name, version = registered[1] or run.name, registered[2]
    registry = Registry(run.open_workspace())
    resolved = registry.resolve(name, version)
    called = resolved if resolved == version else f"{resolved} ({version})"
    return NamedModel(name=f"{name} {called}", uri=registry.uri(name, resolved))


def named_apart(first: NamedModel, second: NamedModel) -> tuple[NamedModel, NamedModel]:
    """The two under different names: bundles that are called alike are numbered.

    Raises: ConfigError when both are one and the same.
    """
    if first.uri.rstrip("/") == second.uri.rstrip("/"):
        raise ConfigError(f"both models are {first.uri}", cure="name two different models")
    if first.name != second.name:
        return first, second
    return (
        first.model_copy(update={"name": f"{first.name} [1]"}),
        second.model_copy(update={"name": f"{second.name} [2]"}),
    )


def load_model(run: Run, model: NamedModel) -> Bundle:
    """The model's bundle; the workspace's are read with its secrets, others with those of the environment."""
    inside = model.uri.startswith(run.open_workspace().uri("models"))
    return load_bundle(model.uri, block_options(run.workspace_block) if inside else None, run.cache_root)


def check_question(catalogue: Catalogue, model: NamedModel, bundle: Bundle) -> None:
    """Refuse a model that answers another question than the labels of the images.

    Raises: ConfigError.
    """
    facts = bundle.manifest
    if (facts.classes, facts.positive_class) != (catalogue.classes, catalogue.positive_class):
        raise ConfigError(
            f"{model.name} tells {', '.join(facts.classes)} apart (positive: {facts.positive_class or 'none'}), the "
            f"images are labelled {', '.join(catalogue.classes)} (positive: {catalogue.positive_class or 'none'})",
            cure="compare on images of the models' own classes, with their positive class",
        )


def common_images(
    run: Run, listing: Listing, catalogue: Catalogue, bundles: tuple[Bundle, Bundle]
) -> CommonImages:
    """Let each model judge what its members did not learn from, and keep what both may judge.

    Raises: DataSetUnusable when they do not hold every class.
    """
    table = read_catalogue(run, catalogue)
    (first, (first_logits,)), (second, (second_logits,)) = (
        predict_unseen(run, listing, table, [bundle]) for bundle in bundles
    )
    place = pd.Series(np.arange(len(second)), index=second["path"])
    both = first["path"].isin(place.index).to_numpy(np.bool_)
    rows = first[both].reset_index(drop=True)
    labels = catalogue.label_indices(rows["label"])
    missing = [name for index, name in enumerate(catalogue.classes) if not (labels == index).any()]
    if missing:
        raise DataSetUnusable(
            f"there is no image of {', '.join(missing)} among the {len(labels)} that both models may judge (the first "
            f"{len(first)}, the second {len(second)}): their members learnt from the others, or from copies of them",
            cure="give --images that at least one member of each model was not trained on",
        )
    return CommonImages(
        rows=rows,
        labels=labels,
        groups=pd.factorize(rows["group"])[0].astype(np.int64),
        logits=(first_logits[both], second_logits[place[rows["path"]].to_numpy()]),
        images=int((~table.frame["conflict"]).sum()),
        unseen=(len(first), len(second)),
    )


def threshold_folds(common: CommonImages) -> Ints:
    """A fold 0, 1, ... for each of the common images, groups kept together: for the choice of thresholds alone.

    Raises: DataSetUnusable when a class has but one group.
    """
    labels, groups = common.labels, common.groups
    fewest = min(np.unique(groups[labels == label]).size for label in np.unique(labels))
    if fewest < 2:
        raise DataSetUnusable(
            "a class has only one group of copies among the images that both models may judge",
            cure="give more images that neither model was trained on",
        )
    folds = np.empty(len(labels), dtype=np.int64)
    parts = grouped_splits(labels, groups, min(THRESHOLD_FOLDS, fewest), seed=0)
    for fold, (_, chosen) in enumerate(parts):
        folds[chosen] = fold
    return folds


def judged_side(
    catalogue: Catalogue,
    model: NamedModel,
    bundle: Bundle,
    logits: Floats,
    common: CommonImages,
    folds: Ints,
    recall_target: float,
) -> Side:
    """Choose each fold's temperature and threshold on the others, and evaluate."""
    judged = judge(
        common.labels,
        logits,
        folds,
        straddling=np.zeros(len(folds), dtype=np.bool_),
        reported_folds=frozenset(np.unique(folds).tolist()),
        positive=catalogue.positive_index,
        recall_target=recall_target,
    )
    evaluation = evaluate(
        common.labels,
        judged.probabilities,
        judged.predicted,
        common.groups,
        list(catalogue.classes),
        positive_class=catalogue.positive_class,
        protocol=catalogue.protocol,
    )
    return Side(model, bundle, judged.probabilities, judged.predicted, evaluation)
