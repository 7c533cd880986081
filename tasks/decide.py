"""Decide: is the new model good enough, and better than the one that is served, on images that neither saw?"""

import io

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from tasks.catalogue import Catalogue, read_catalogue
from tasks.engine.run import Run
from tasks.engine.stage import stage, timed_stages
from tasks.errors import RegistryError
from tasks.evaluate import EvaluatedBundle, judged_folds
from tasks.evaluation.comparison import Comparison, compare
from tasks.evaluation.gate import Decision, decide
from tasks.evaluation.out_of_fold import OperatingRule, apply_by_fold
from tasks.evaluation.settings import GateSettings
from tasks.ingest import Listing
from tasks.models.manifest import BundleManifest
from tasks.models.registry import Registry
from tasks.predict import predict_unseen, read_unseen
from tasks.record import FileReference, Record


class Verdict(Record):
    """The decision, and what it was made against."""

    decision: Decision = Field(description="Promoted or refused, with all reasons.")
    champion: str | None = Field(description="Version that was served when the decision was made.")
    comparison: Comparison | None = Field(description="Against that version, where the two can be compared.")

    def in_words(self) -> str:
        """The decision, with every reason."""
        return f"{self.decision.verdict}: {'; '.join(self.decision.reasons)}"


def _opponent(run: Run, evaluated: EvaluatedBundle) -> str | None:
    """The version to beat: the champion, or what came before it when the champion is this very model."""
    aliases = Registry(run.open_workspace()).aliases(run.name)
    if aliases.champion is None or not _is_this_model(run, aliases.champion, evaluated):
        return aliases.champion
    return aliases.last_opponent()


def _is_this_model(run: Run, version: str, evaluated: EvaluatedBundle) -> bool:
    try:
        manifest = Registry(run.open_workspace()).manifest(run.name, version)
    except RegistryError:  # its bundle is gone
        return False
    return manifest.sha256 == evaluated.manifest.sha256


@stage("decide", version=4, state=_opponent)
def decide_promotion(
    run: Run, listing: Listing, catalogue: Catalogue, evaluated: EvaluatedBundle, settings: GateSettings
) -> Verdict:
    """Compare the model with the bar on recall and with the champion, on the same unseen images."""
    champion = _opponent(run, evaluated)
    if champion is None:
        return Verdict(decision=decide(evaluated.evaluation, None, settings), champion=None, comparison=None)
    registry = Registry(run.open_workspace())
    bundle, facts = registry.manifest(run.name, champion), registry.read(run.name, champion)
    if (facts.classes, facts.positive_class) != (catalogue.classes, catalogue.positive_class):
        reason = (
            f"the champion (version {champion}) knows the classes {', '.join(facts.classes)}, this model "
            f"{', '.join(catalogue.classes)}: they cannot be compared, the bar on recall decides alone"
        )
        decision = decide(evaluated.evaluation, None, settings, incomparable=reason)
        return Verdict(decision=decision, champion=champion, comparison=None)
    comparison = _compared(run, listing, catalogue, evaluated, bundle, facts, champion)
    return Verdict(
        decision=decide(evaluated.evaluation, comparison, settings), champion=champion, comparison=comparison
    )


def _compared(
    run: Run,
    listing: Listing,
    catalogue: Catalogue,
    evaluated: EvaluatedBundle,
    bundle: FileReference,
    facts: BundleManifest,
    champion: str,
) -> Comparison:
    """The champion by the rules that were chosen without an image's fold, as the challenger.

    Images of a fold for which it has none (it was judged on fewer folds) may have chosen its threshold: left out.
    """
    with timed_stages():  # part of this stage, and kept: another bar or threshold has nothing predicted anew
        said = predict_unseen(run, listing, catalogue, bundle, faster=False)
    rows, (logits,) = read_unseen(run, catalogue, said).by_file(read_catalogue(run, catalogue))
    rules = {rule.fold: OperatingRule(rule.temperature, rule.threshold) for rule in facts.fold_rules}
    folds = judged_folds(rows, catalogue)
    probabilities, predicted = apply_by_fold(rules, logits, folds, catalogue.positive_index)
    theirs = rows[["path"]].assign(row=np.arange(len(rows)))[np.isin(folds, list(rules))]
    data = run.read(evaluated.predictions)
    ours = pd.read_parquet(io.BytesIO(data)).merge(theirs, on="path", validate="one_to_one")
    index = {name: place for place, name in enumerate(catalogue.classes)}
    common = ours["row"].to_numpy(np.int64)
    return compare(
        _indices(ours["label"], index),
        (probabilities[common], predicted[common]),
        (
            ours[[f"probability_{name}" for name in catalogue.classes]].to_numpy(np.float64),
            _indices(ours["predicted"], index),
        ),
        ours["group"].to_numpy(str),
        classes=list(catalogue.classes),
        positive_class=catalogue.positive_class,
        champion_version=champion,
    )


def _indices(names: "pd.Series[str]", index: dict[str, int]) -> npt.NDArray[np.int64]:
    return np.array([index[name] for name in names], dtype=np.int64)
