"""Compare: two models side by side, on images that the judging members of neither learnt from, nor from a copy.

The images are predicted anew by both bundles, whatever is stored of earlier evaluations: so any two models can be
compared, on the images, labels and groups of copies as they are now. One rule chooses both thresholds.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import numpy as np
import pandas as pd
from pydantic import Field

from tasks.catalogue import Catalogue
from tasks.compare_sides import (
    CommonImages,
    NamedModel,
    Side,
    check_question,
    common_images,
    judged_side,
    load_model,
    named_apart,
    threshold_folds,
)
from tasks.engine.run import Run
from tasks.engine.stage import stage
from tasks.evaluation.comparison import Comparison, compare
from tasks.evaluation.metrics import Evaluation
from tasks.images.decode import decode
from tasks.ingest import Listing, image_reader
from tasks.pages.comparison_page import (
    MOST_DISAGREEMENTS,
    ComparedModel,
    ComparisonContent,
    Disagreement,
    render_comparison,
)
from tasks.record import FileReference, Record

FEW_GROUPS = 50
"""Below so many independent groups the page warns."""


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


@stage("compare", version=1, reusable=False)
def compare_models(
    run: Run,
    listing: Listing,
    catalogue: Catalogue,
    first: NamedModel,
    second: NamedModel,
    recall_target: float,
) -> ComparedModels:
    """Let both models judge the images that are news to their members, and say how they differ."""
    models = named_apart(first, second)
    bundles = (load_model(run, first), load_model(run, second))
    for model, bundle in zip(models, bundles, strict=True):
        check_question(catalogue, model, bundle)
    common = common_images(run, listing, catalogue, bundles)
    folds = threshold_folds(common)
    one, other = (
        judged_side(catalogue, model, bundle, logits, common, folds, recall_target)
        for model, bundle, logits in zip(models, bundles, common.logits, strict=True)
    )
    comparison = compare(
        common.labels,
        (one.probabilities, one.predicted),
        (other.probabilities, other.predicted),
        common.groups,
        classes=list(catalogue.classes),
        positive_class=catalogue.positive_class,
        champion_version=one.model.name,
    )
    notes = tuple(_notes(run, catalogue, (one, other), comparison))
    content = ComparisonContent(
        created=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        dataset=run.name,
        images_url=listing.url,
        models=(_shown(one), _shown(other)),
        labels=common.labels,
        comparison=comparison,
        recall_target=recall_target,
        images=common.images,
        notes=notes,
        only_right=(
            _disagreements(run, listing, catalogue, common, right=one, wrong=other, order=(one, other)),
            _disagreements(run, listing, catalogue, common, right=other, wrong=one, order=(one, other)),
        ),
    )
    page = run.write("compare/index.html", render_comparison(content).encode())
    return ComparedModels(
        first=one.model,
        second=other.model,
        images=common.images,
        unseen_by_first=common.unseen[0],
        unseen_by_second=common.unseen[1],
        recall_target=recall_target,
        first_evaluation=one.evaluation,
        second_evaluation=other.evaluation,
        comparison=comparison,
        notes=notes,
        page=page,
        uri=run.open_workspace().uri(page.path),
        predictions=run.write("compare/predictions.parquet", _parquet(catalogue, common, one, other)),
    )


def _notes(run: Run, catalogue: Catalogue, sides: Sequence[Side], comparison: Comparison) -> Iterator[str]:
    for side in sides:
        facts = side.bundle.manifest
        if facts.name != run.name:
            yield (
                f"{side.model.name} was trained on another data set, {facts.name}: its training images are known by "
                "their bytes and left out, near copies of them that only its own ledger knows are not"
            )
        if facts.decode_limits != catalogue.decode:
            yield f"{side.model.name} decodes images under other limits than this catalogue"
    if comparison.n_groups < FEW_GROUPS:
        yield f"there are only {comparison.n_groups} independent groups of images: most differences may be chance"


def _shown(side: Side) -> ComparedModel:
    facts = side.bundle.manifest
    networks = {f"{member.backbone} at {member.preprocessing.size_px} px" for member in facts.members}
    kind = str(facts.recipe.get("kind", "")).replace("_", "-")
    members = "one member" if len(facts.members) == 1 else f"{len(facts.members)} members"
    return ComparedModel(
        name=side.model.name,
        uri=side.model.uri,
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
