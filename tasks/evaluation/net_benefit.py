"""Net benefit: whether acting on a model does more good than acting on every image, or on none.

At a harm ratio w one missed finding weighs as much as w false alarms; who holds that acts from a probability of
1 / (1 + w) on. Net benefit is the share of findings found less the false alarms, weighed so. Source: Vickers and Elkin
2006, doi:10.1177/0272989X06295361.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field

from tasks.evaluation import intervals
from tasks.evaluation.intervals import Estimate, Floats, percentile
from tasks.record import Frozen

GRID = tuple(round(float(at), 5) for at in 1 / (1 + np.geomspace(100, 1, 60)))
"""Probabilities from which one acts: one miss weighs as much as 100 false alarms, down to as much as one."""

HARM_RATIOS = (50, 20, 10, 5, 2, 1)
RESAMPLES = 500
_MOST_ELEMENTS = 400_000_000


class NetBenefitPoint(Frozen):
    """What a model is worth at one harm ratio."""

    false_alarms_for_a_miss: int = Field(
        ge=1, description="False alarms that weigh as much as one missed finding."
    )
    model: Estimate = Field(description="Net benefit of the model.")
    act_on_all: float = Field(description="Net benefit of acting on every image.")
    gain: Estimate = Field(description="That of the model less the better of acting on all and on none.")
    alarms_saved_per_100: float = Field(
        description="False alarms less than on acting on every image, in 100 images and with no finding more missed."
    )


class NetBenefitCurve(Frozen):
    """Net benefit by the probability from which one acts; acting on none is 0 everywhere."""

    model_config = ConfigDict(allow_inf_nan=False)

    prevalence: float = Field(
        gt=0, lt=1, description="Share of images with the finding that it is meant for."
    )
    acts_from: tuple[float, ...] = Field(description="Probabilities from which one acts.")
    model: tuple[float, ...] = Field(description="Of the model, at each.")
    lower: tuple[float, ...] = Field(description="Lower end of its 95 % interval at each.")
    upper: tuple[float, ...] = Field(description="Upper end.")
    act_on_all: tuple[float, ...] = Field(description="Of acting on every image.")
    others: dict[str, tuple[float, ...]] = Field(
        default_factory=dict, description="Of others on the same images, such as the champion, by name."
    )
    points: tuple[NetBenefitPoint, ...] = Field(description="In figures, by harm ratio.")


def net_benefit_curve(
    positive: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    groups: npt.ArrayLike,
    prevalence: float,
    *,
    others: Mapping[str, npt.ArrayLike] | None = None,
    resamples: int = RESAMPLES,
) -> NetBenefitCurve:
    """The curve of positive (n,) flags and probabilities (n,), both classes present, at a prevalence.

    `probabilities` are those that hold at this prevalence (`prevalence.restated`), those of `others` likewise.
    """
    truth = np.asarray(positive, dtype=np.bool_)
    chance = np.asarray(probabilities, dtype=np.float64)
    ratios = tuple(1 / (1 + w) for w in HARM_RATIOS)
    acts_from = np.array([*GRID, *ratios])
    everything = _act_on_all(acts_from, prevalence)
    once = np.ones((1, truth.size))
    model = _benefit(truth, chance, acts_from, prevalence, once)[0]
    affordable = max(100, min(resamples, _MOST_ELEMENTS // (truth.size * acts_from.size)))
    replicates = intervals.bootstrap(
        lambda weights: _benefit(truth, chance, acts_from, prevalence, weights),
        groups,
        resamples=affordable,
        seed=0,
    )
    tail = (1 - intervals.CONFIDENCE) / 2
    lower, upper = np.nanquantile(replicates, [tail, 1 - tail], axis=0)
    grid = slice(0, len(GRID))
    best_default = np.maximum(everything, 0.0)
    return NetBenefitCurve(
        prevalence=prevalence,
        acts_from=GRID,
        model=tuple(model[grid].tolist()),
        lower=tuple(np.minimum(lower, model)[grid].tolist()),
        upper=tuple(np.maximum(upper, model)[grid].tolist()),
        act_on_all=tuple(everything[grid].tolist()),
        others={
            name: tuple(
                _benefit(truth, np.asarray(of, dtype=np.float64), acts_from[grid], prevalence, once)[
                    0
                ].tolist()
            )
            for name, of in (others or {}).items()
        },
        points=tuple(
            NetBenefitPoint(
                false_alarms_for_a_miss=w,
                model=percentile(float(model[place]), replicates[:, place], truth.size),
                act_on_all=float(everything[place]),
                gain=percentile(
                    float(model[place] - best_default[place]),
                    replicates[:, place] - best_default[place],
                    truth.size,
                ),
                alarms_saved_per_100=float(100 * w * (model[place] - everything[place])),
            )
            for place, w in enumerate(HARM_RATIOS, start=len(GRID))
        ),
    )


def _act_on_all(acts_from: Floats, prevalence: float) -> Floats:
    return prevalence - (1 - prevalence) * acts_from / (1 - acts_from)


def _benefit(
    truth: npt.NDArray[np.bool_], chance: Floats, acts_from: Floats, prevalence: float, weights: Floats
) -> Floats:
    """Net benefit (b, thresholds) under image weights (b, n), of the two classes in the shares of the prevalence."""
    acted = chance[:, None] >= acts_from
    with np.errstate(divide="ignore", invalid="ignore"):
        found, alarmed = (
            weights[:, part] @ acted[part].astype(np.float64) / weights[:, part].sum(axis=1, keepdims=True)
            for part in (truth, ~truth)
        )
    return np.asarray(
        prevalence * found - (1 - prevalence) * alarmed * acts_from / (1 - acts_from), dtype=np.float64
    )
