"""How far rates move when all is chosen again: scale, calibration and threshold of every part, in each resample.

The threshold is as uncertain as the few positive images that it was read off, and moves all negative images together.
An interval that takes it as given covers the truth in two cases of three (see docs/decisions.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit
from scipy.stats import t as student

from tasks.evaluation import intervals
from tasks.evaluation.intervals import Bools, Estimate, Floats
from tasks.evaluation.metrics import Evaluation
from tasks.evaluation.operating_rule import JudgedImages, OperatingRule, choose_rules, scores_of
from tasks.evaluation.out_of_fold import HonestPredictions, Round

RESAMPLES = 600
_FEWEST_RESAMPLES = 200
_ELEMENTS = 40_000_000
"""Images x classes x resamples, above which there are fewer resamples."""
_BLOCK_ELEMENTS = 1_000_000
_LEAST_FREEDOM = 3.0
_NEAR = 1e-6


@dataclass(frozen=True)
class CountReplicates:
    """Weighted counts of images by resample and class, (b, classes); NaN where no threshold could be chosen.

    `true` of the class, `raised` predicted as it, `hits` both; `total` (b,) images.
    """

    hits: Floats
    true: Floats
    raised: Floats
    total: Floats


def rechosen_counts(judged: HonestPredictions, counted: Bools, *, seed: int = 0) -> CountReplicates:
    """What is counted of the images `counted` (n,) when groups are drawn with replacement and all is chosen again."""
    groups = intervals.group_index(judged.images.groups)
    n_groups, (n, n_classes) = int(groups.max()) + 1, judged.images.logits.shape
    resamples = max(_FEWEST_RESAMPLES, min(RESAMPLES, _ELEMENTS // (n * n_classes)))
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK_ELEMENTS // (n * n_classes))
    blocks = []
    for begin in range(0, resamples, block):
        rows = min(block, resamples - begin)
        drawn = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=rows)
        blocks.append(_counts(judged, counted, drawn.astype(np.float64)[:, groups]))
    return CountReplicates(*(np.concatenate(column) for column in zip(*blocks, strict=True)))


def _counts(
    judged: HonestPredictions, counted: Bools, drawn: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    n_classes = judged.images.logits.shape[1]
    hits, true, raised = (np.zeros((len(drawn), n_classes)) for _ in range(3))
    for one, rule in judged.rounds:
        predicted = _predicted(judged, one, rule, drawn)
        own = counted[one.judged]
        labels, weights = judged.images.labels[one.judged][own], drawn[:, one.judged][:, own]
        for label in range(n_classes):
            called = predicted[:, own] == label
            true[:, label] += weights[:, labels == label].sum(axis=1)
            raised[:, label] += (weights * called).sum(axis=1)
            hits[:, label] += (weights * called)[:, labels == label].sum(axis=1)
            undecided = (predicted < 0).any(axis=1)
            raised[undecided, label] = hits[undecided, label] = np.nan
    return hits, true, raised, true.sum(axis=1)


def _predicted(judged: HonestPredictions, one: Round, rule: OperatingRule, drawn: Floats) -> Floats:
    """Predicted class indices (b, judged) by the rules that each drawing (b, n) chooses; -1 where there is none."""
    choosing: JudgedImages = judged.images[one.choosing]
    rules = choose_rules(choosing, drawn[:, one.choosing], judged.positive, judged.rule, rule)
    logits = rules.logits(judged.images[one.judged])
    if judged.positive is None or rules.thresholds is None:
        return np.asarray(logits.argmax(axis=2), dtype=np.float64)
    raised = scores_of(logits, judged.positive) >= rules.thresholds[:, None]
    logits[:, :, judged.positive] = -np.inf
    found = np.asarray(np.where(raised, judged.positive, logits.argmax(axis=2)), dtype=np.float64)
    found[np.isnan(rules.thresholds)] = -1
    return found


def with_choice(
    evaluation: Evaluation, counts: CountReplicates, *, missed: float, between: Mapping[str, float]
) -> Evaluation:
    """The evaluation with intervals of rates that know that the rule was chosen, too.

    Each is the wider of its interval at the given rule and of the percentiles of the replicates, drawn out as Student's
    t is for few observations: `missed` is the number of positive images expected beyond the threshold, which alone say
    where it lies. `between` is the variance, in logits, that networks differ by in a rate beyond chance, over their
    number: another training would give others.
    """
    freedom = max(_LEAST_FREEDOM, 2 * missed)
    stretch = float(student.ppf(0.5 + intervals.CONFIDENCE / 2, freedom)) / intervals.Z
    rates = _rates(counts)

    def wider(name: str, figure: Estimate, replicates: Floats) -> Estimate:
        return _wider(figure, replicates, stretch, between.get(name, 0.0))

    per_class = [
        figures.model_copy(
            update={name: wider(name, getattr(figures, name), rates[name][:, place]) for name in rates}
        )
        for place, figures in enumerate(evaluation.per_class)
    ]
    macro = evaluation.macro.model_copy(
        update={
            name: wider(name, getattr(evaluation.macro, name), rates[name].mean(axis=1)) for name in rates
        }
    )
    names = evaluation.classes
    of_positive = evaluation.positive_class
    top = macro if of_positive is None else per_class[names.index(of_positive)]
    accuracy = counts.hits.sum(axis=1) / counts.total
    return evaluation.model_copy(
        update={
            **{name: getattr(top, name) for name in rates},
            "accuracy": wider("accuracy", evaluation.accuracy, accuracy),
            "balanced_accuracy": wider(
                "balanced_accuracy", evaluation.balanced_accuracy, rates["recall"].mean(axis=1)
            ),
            "per_class": per_class,
            "macro": macro,
        }
    )


def _rates(counts: CountReplicates) -> dict[str, Floats]:
    hits, true, raised, total = counts.hits, counts.true, counts.raised, counts.total[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "recall": hits / true,
            "specificity": 1 - (raised - hits) / (total - true),
            "precision": hits / raised,
            "f1": 2 * hits / (true + raised),
        }


def _wider(figure: Estimate, replicates: Floats, stretch: float, between: float) -> Estimate:
    known = replicates[np.isfinite(replicates)]
    if figure.value is None or known.size * 2 < replicates.size or not known.size:
        return figure
    tail = (1 - intervals.CONFIDENCE) / 2
    ends = np.quantile(known, [tail, 1 - tail])
    at, lower, upper = logit(np.clip([figure.value, *ends], _NEAR, 1 - _NEAR))
    apart = intervals.Z * np.sqrt(between)
    below = np.hypot(max(at - lower, 0.0) * stretch, apart)
    above = np.hypot(max(upper - at, 0.0) * stretch, apart)
    lowest, highest = float(expit(at - below)), float(expit(at + above))
    lowest, highest = min(lowest, figure.value), max(highest, figure.value)
    if figure.lower is not None and figure.upper is not None:
        lowest, highest = min(lowest, figure.lower), max(highest, figure.upper)
    return Estimate(
        value=figure.value,
        lower=lowest,
        upper=highest,
        n=figure.n,
        method="all chosen again in each resample",
    )
