"""Compare: two models side by side, on images that the judging members of neither learnt from, nor from a copy.

The images are predicted anew by both bundles, whatever is stored of earlier evaluations: so any two models can be
compared, on the images, labels and groups of copies as they are now. One rule chooses both thresholds.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

import numpy as np
import pandas as pd
from pydantic import Field

from tasks.catalogue import Catalogue, read_catalogue
from tasks.data.catalogue_table import CatalogueTable
from tasks.engine.run import Run, block_options
from tasks.engine.stage import stage
from tasks.errors import ConfigError
from tasks.evaluation.comparison import Comparison, compare
from tasks.evaluation.intervals import Bools, Floats
from tasks.evaluation.metrics import Evaluation
from tasks.evaluation.settings import ThresholdRule
from tasks.evaluation.side_by_side import CommonImages, Side, images_in_common, judge_side
from tasks.evaluation.words import signed
from tasks.images.decode import decode
from tasks.ingest import Listing, image_reader
from tasks.models.bundle import Bundle, load_bundle
from tasks.models.manifest import BundleManifest
from tasks.models.registry import ROOT, Registry
from tasks.pages.comparison_page import (
    MOST_DISAGREEMENTS,
    ComparedModel,
    ComparisonContent,
    Disagreement,
    render_comparison,
)
from tasks.predict import logits_of_unseen
from tasks.record import FileReference, Record

FEW_GROUPS = 50
"""Below so many groups of copies or patients the page warns."""

_REGISTERED: Final = re.compile(r"(?:([A-Za-z0-9][A-Za-z0-9._-]*)/)?(champion|challenger|v[1-9][0-9]*)")


class NamedModel(Record):
    """A model to compare."""

    name: str = Field(description="How it is called on the page.")
    uri: str = Field(description="Where its bundle is.")


class ComparedModels(Record):
    """Two models on the same images; in `comparison` the first stands as champion, the second as challenger."""

    first: NamedModel = Field(description="The one.")
    second: NamedModel = Field(description="The other.")
    images: int = Field(ge=0, description="Usable images, copies included.")
    unseen_by_first: int = Field(ge=0, description="Of these, images that a member of the first may judge.")
    unseen_by_second: int = Field(ge=0, description="Likewise of the second.")
    recall_target: float = Field(description="For which both thresholds are chosen.")
    first_evaluation: Evaluation = Field(description="Figures of the first on the common images.")
    second_evaluation: Evaluation = Field(description="Figures of the second.")
    comparison: Comparison = Field(description="Paired differences, second less first, and tests.")
    notes: tuple[str, ...] = Field(description="What to be careful about.")
    page: FileReference = Field(description="compare/index.html.")
    uri: str = Field(description="The page's full address.")
    predictions: FileReference = Field(
        description="compare/predictions.parquet: a row an image, with what each model says."
    )

    def in_words(self) -> str:
        """The difference in AUC, on how many images."""
        return f"AUC {signed(self.comparison.auc_difference.value)} on {self.comparison.n} common images"


@stage("compare", version=1, reusable=False)
def compare_models(
    run: Run,
    listing: Listing,
    catalogue: Catalogue,
    first: NamedModel,
    second: NamedModel,
    rule: ThresholdRule,
) -> ComparedModels:
    """Let both models judge the images that are news to their members, and say how they differ."""
    models = named_apart(first, second)
    bundles = (load_model(run, first), load_model(run, second))
    for model, bundle in zip(models, bundles, strict=True):
        check_question(catalogue, model, bundle)
    table = read_catalogue(run, catalogue)
    said = [_unseen(run, listing, table, bundle) for bundle in bundles]
    common = images_in_common(said[0], said[1], catalogue.classes)
    one, other = (
        judge_side(
            model.name,
            common,
            side,
            classes=catalogue.classes,
            positive_class=catalogue.positive_class,
            protocol=catalogue.protocol,
            rule=rule.at_target,
        )
        for side, model in enumerate(models)
    )
    comparison = compare(
        common.labels,
        (one.probabilities, one.predicted),
        (other.probabilities, other.predicted),
        common.groups,
        classes=list(catalogue.classes),
        positive_class=catalogue.positive_class,
        champion_version=one.name,
    )
    facts = [bundle.manifest for bundle in bundles]
    notes = tuple(_notes(run, catalogue, dict(zip((one.name, other.name), facts, strict=True)), comparison))
    images = int((~table.frame["conflict"]).sum())
    content = ComparisonContent(
        created=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        dataset=run.name,
        images_url=listing.url,
        models=(_shown(models[0].uri, facts[0], one), _shown(models[1].uri, facts[1], other)),
        labels=common.labels,
        comparison=comparison,
        recall_target=rule.recall_target,
        images=images,
        notes=notes,
        only_right=(
            _disagreements(run, listing, catalogue, common, right=one, wrong=other, order=(one, other)),
            _disagreements(run, listing, catalogue, common, right=other, wrong=one, order=(one, other)),
        ),
    )
    page = run.write("compare/index.html", render_comparison(content).encode())
    return ComparedModels(
        first=models[0],
        second=models[1],
        images=images,
        unseen_by_first=common.unseen[0],
        unseen_by_second=common.unseen[1],
        recall_target=rule.recall_target,
        first_evaluation=one.evaluation,
        second_evaluation=other.evaluation,
        comparison=comparison,
        notes=notes,
        page=page,
        uri=run.open_workspace().uri(page.path),
        predictions=run.write("compare/predictions.parquet", _parquet(catalogue, common, one, other)),
    )


def _unseen(
    run: Run, listing: Listing, table: CatalogueTable, bundle: Bundle
) -> tuple[pd.DataFrame, Floats, Bools]:
    """The rows that a bundle may judge, its logits (n, classes) of them, and whose they are (n, members)."""
    unseen = logits_of_unseen(run, listing, table, [bundle])
    rows, [logits] = unseen.by_file(table)
    return rows, logits, unseen.judges(rows, len(bundle.manifest.members))


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
    inside = model.uri.startswith(run.open_workspace().uri(ROOT))
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


def _notes(
    run: Run, catalogue: Catalogue, models: Mapping[str, BundleManifest], comparison: Comparison
) -> Iterator[str]:
    for name, facts in models.items():
        if facts.name != run.name:
            yield (
                f"{name} was trained on another data set, {facts.name}: its training images are known by "
                "their bytes and left out, near copies of them that only its own ledger knows are not"
            )
        if facts.decode_limits != catalogue.decode:
            yield f"{name} decodes images under other limits than this catalogue"
    if comparison.n_groups < FEW_GROUPS:
        yield f"there are only {comparison.n_groups} groups of images: most differences may be chance"


def _shown(uri: str, facts: BundleManifest, side: Side) -> ComparedModel:
    networks = {f"{member.backbone} at {member.preprocessing.size_px} px" for member in facts.members}
    kind = str(facts.recipe.get("kind", "")).replace("_", "-")
    members = "one member" if len(facts.members) == 1 else f"{len(facts.members)} members"
    return ComparedModel(
        name=side.name,
        uri=uri,
        facts=f"{kind} of {', '.join(sorted(networks))}; {members}, {facts.protocol.replace('_', '-')}; "
        f"made {facts.created:%Y-%m-%d %H:%M}",
        evaluation=side.evaluation,
        probabilities=side.probabilities,
        predicted=side.predicted,
    )


def _disagreements(
    run: Run,
    listing: Listing,
    catalogue: Catalogue,
    common: CommonImages,
    *,
    right: Side,
    wrong: Side,
    order: tuple[Side, Side],
) -> list[Disagreement]:
    """Images that only one side predicts rightly, one of each group, the most different probabilities first."""
    labels, every = common.labels, np.arange(len(common.labels))
    apart = right.probabilities[every, labels] - wrong.probabilities[every, labels]
    only = np.flatnonzero((right.predicted == labels) & (wrong.predicted != labels))
    only = only[np.argsort(-apart[only], kind="stable")]
    firsts = only[~pd.Series(common.groups[only]).duplicated().to_numpy()]
    read, paths = image_reader(run, listing), common.rows["path"].tolist()
    shown = []
    for place in firsts[:MOST_DISAGREEMENTS].tolist():
        label = int(labels[place])
        looked_for = label if catalogue.positive_index is None else catalogue.positive_index
        said = [
            (catalogue.classes[side.predicted[place]], float(side.probabilities[place, looked_for]))
            for side in order
        ]
        pixels = decode(read(paths[place]), catalogue.decode).pixels
        shown.append(Disagreement(paths[place], catalogue.classes[label], pixels, said))
    return shown


def _parquet(catalogue: Catalogue, common: CommonImages, one: Side, other: Side) -> bytes:
    frame = common.rows[["path", "sha256", "group", "fold", "label"]].copy()
    for name, side in (("first", one), ("second", other)):
        frame[f"{name}_predicted"] = [catalogue.classes[index] for index in side.predicted]
        for index, label in enumerate(catalogue.classes):
            frame[f"{name}_probability_{label}"] = side.probabilities[:, index]
    return frame.to_parquet(index=False)
