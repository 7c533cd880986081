"""Decide: is the new model good enough, and better than the one that is served, on images that neither saw?"""

import io
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from tasks.audit import Audit
from tasks.catalogue import Catalogue, read_catalogue
from tasks.engine.run import Run
from tasks.engine.stage import stage, timed_stages
from tasks.errors import BundleError, DataSetUnusable, RegistryError
from tasks.evaluate import EvaluatedBundle, judge_rows, may_be_judged
from tasks.evaluation.comparison import Comparison, compare, nothing_in_common
from tasks.evaluation.gate import Decision, decide
from tasks.evaluation.looks import Looks
from tasks.evaluation.served import ServedFigures
from tasks.evaluation.settings import GateSettings, ThresholdRule
from tasks.evaluation.shortcuts import read_scores
from tasks.evaluation.trivial import FactComparison, compare_with_facts
from tasks.export import load_by_manifest
from tasks.ingest import Listing
from tasks.models.manifest import BundleManifest, of_one_model, read_manifest
from tasks.models.registry import Registry
from tasks.predict import predict_unseen, read_unseen
from tasks.record import FileReference, Record
from tasks.rejudge import ServedAgain
from tasks.stores.layout import SEARCH_CHOICES


class Verdict(Record):
    """The decision, and what it was made against."""

    decision: Decision = Field(description="Promoted, refused or too few images, with all reasons.")
    champion: str | None = Field(description="Version that was served when the decision was made.")
    is_champion: bool = Field(description="Whether that version is this very model, judged again.")
    comparison: Comparison | None = Field(
        description="Against that version, or what came before it where it is this very model; where the two can be "
        "compared."
    )
    facts: tuple[FactComparison, ...] = Field(
        description="Against trivial facts of the files alone, on the same images."
    )
    served: ServedFigures | None = Field(
        default=None,
        description="The champion as it is served, on labelled images that came since it was made; None without such.",
    )

    def in_words(self) -> str:
        """The decision, with every reason."""
        return f"{self.decision.verdict}: {'; '.join(self.decision.reasons)}"


class _Standing(NamedTuple):
    """What is served, whether it is this very model, and the version to beat."""

    champion: str | None
    is_champion: bool
    opponent: str | None
    models: int
    searches: int


def _standing(run: Run, evaluated: EvaluatedBundle) -> _Standing:
    """A champion that is this very model is compared with what came before it."""
    workspace = run.open_workspace()
    registry = Registry(workspace)
    aliases = registry.aliases(run.name)
    others = [
        version for version in registry.versions(run.name) if not _is_this_model(run, version, evaluated)
    ]
    again = aliases.champion is not None and _is_this_model(run, aliases.champion, evaluated)
    return _Standing(
        champion=aliases.champion,
        is_champion=again,
        opponent=aliases.last_opponent() if again else aliases.champion,
        models=len(others),
        searches=len(workspace.list(SEARCH_CHOICES.folder(name=run.name))),
    )


def _is_this_model(run: Run, version: str, evaluated: EvaluatedBundle) -> bool:
    workspace = run.open_workspace()
    try:
        registry = Registry(workspace)
        registered = registry.read(run.name, registry.resolve(run.name, version))
    except (BundleError, RegistryError):  # its bundle is gone, or of another time
        return False
    own = read_manifest(run.read(evaluated.manifest), workspace.uri(evaluated.manifest.path))
    return of_one_model(registered, own)


@stage("decide", version=9, state=_standing)
def decide_promotion(
    run: Run,
    listing: Listing,
    catalogue: Catalogue,
    audit: Audit,
    evaluated: EvaluatedBundle,
    settings: GateSettings,
    served: ServedAgain,
) -> Verdict:
    """Compare the model with every bar, with trivial facts, and with the champion on the same unseen images."""
    standing, rule = _standing(run, evaluated), evaluated.rule or ThresholdRule()
    facts = tuple(_compared_with_facts(run, catalogue, audit, evaluated))
    looks = Looks(models=standing.models, searches=standing.searches)
    level = looks.level(settings.false_promotions)
    comparison, incomparable, growth = _against_champion(run, listing, catalogue, evaluated, standing, level)
    decision = decide(
        evaluated.evaluation,
        comparison,
        settings,
        incomparable=incomparable,
        facts=facts,
        recall_target=rule.recall_target,
        harm_ratio=rule.harm_ratio,
        looks=looks,
        growth=growth,
        served=served.figures,
    )
    return Verdict(
        decision=decision,
        champion=standing.champion,
        is_champion=standing.is_champion,
        comparison=comparison,
        facts=facts,
        served=served.figures,
    )


def _compared_with_facts(
    run: Run, catalogue: Catalogue, audit: Audit, evaluated: EvaluatedBundle
) -> list[FactComparison]:
    """On the images that both were measured on: of very many, the audit measures some."""
    trivial = pd.read_parquet(io.BytesIO(run.read(audit.trivial)))
    ours = _predictions(run, evaluated).merge(trivial, on="sha256", validate="many_to_one")
    labels = _indices(ours["label"], catalogue)
    present = set(np.unique(labels).tolist())
    positive = catalogue.positive_index
    return compare_with_facts(
        labels,
        _probabilities(ours, catalogue),
        read_scores(ours, catalogue.classes),
        ours["group"].to_numpy(str),
        sorted(present) if positive is None else [positive],
    )


def _against_champion(
    run: Run,
    listing: Listing,
    catalogue: Catalogue,
    evaluated: EvaluatedBundle,
    standing: _Standing,
    level: float,
) -> tuple[Comparison | None, str | None, float | None]:
    """The comparison, or why there is none; and by which share the images have grown since the champion learnt."""
    opponent = standing.opponent
    if opponent is None:
        return None, None, None
    registry = Registry(run.open_workspace())
    bundle, facts = registry.manifest(run.name, opponent), registry.read(run.name, opponent)
    if (facts.classes, facts.positive_class) != (catalogue.classes, catalogue.positive_class):
        called = (
            f"version {opponent}, served before,"
            if standing.is_champion
            else f"the champion (version {opponent})"
        )
        why = (
            f"{called} knows the classes {', '.join(facts.classes)}, this model "
            f"{', '.join(catalogue.classes)}: they cannot be compared, the bars decide alone"
        )
        return None, why, None
    comparison = _compared(run, listing, catalogue, evaluated, bundle, facts, opponent, level)
    learnt = load_by_manifest(run, bundle).learnt_from
    return comparison, None, len(read_catalogue(run, catalogue).contents) / learnt - 1 if learnt else None


def _compared(
    run: Run,
    listing: Listing,
    catalogue: Catalogue,
    evaluated: EvaluatedBundle,
    bundle: FileReference,
    facts: BundleManifest,
    champion: str,
    level: float,
) -> Comparison:
    """Both by rules that are chosen alike, on other images than those that are judged, and at the same recall.

    Whatever the threshold's rule stops at, specificity then shows what a model's recall costs.
    """
    with timed_stages():  # part of this stage, and kept: another bar or threshold has nothing predicted anew
        said = predict_unseen(run, listing, catalogue, bundle, faster=False, one_member=True)
    unseen = read_unseen(run, catalogue, said)
    rows, (logits,) = unseen.by_file(read_catalogue(run, catalogue))
    concerned = may_be_judged(rows, catalogue)
    rows, logits = rows[concerned], logits[concerned]
    judges = unseen.judges(rows, len(facts.members))
    try:
        judged = judge_rows(catalogue, rows, logits, judges, (evaluated.rule or ThresholdRule()).at_target)
    except DataSetUnusable:  # it may judge too few for a rule to be chosen on
        return nothing_in_common(champion, level)
    theirs = rows[["path"]].assign(row=np.arange(len(rows)))[judged.reported]
    ours = _predictions(run, evaluated).merge(theirs, on="path", validate="one_to_one")
    common = ours["row"].to_numpy(np.int64)
    return compare(
        _indices(ours["label"], catalogue),
        (judged.probabilities[common], judged.predicted[common]),
        (
            _probabilities(ours, catalogue),
            _indices(ours["predicted_at_target"], catalogue),
        ),
        ours["group"].to_numpy(str),
        classes=list(catalogue.classes),
        positive_class=catalogue.positive_class,
        champion_version=champion,
        level=level,
    )


def _predictions(run: Run, evaluated: EvaluatedBundle) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(run.read(evaluated.predictions)))


def _probabilities(rows: pd.DataFrame, catalogue: Catalogue) -> npt.NDArray[np.float64]:
    return rows[[f"probability_{name}" for name in catalogue.classes]].to_numpy(np.float64)


def _indices(names: "pd.Series[str]", catalogue: Catalogue) -> npt.NDArray[np.int64]:
    index = {name: place for place, name in enumerate(catalogue.classes)}
    return np.array([index[name] for name in names], dtype=np.int64)
