"""What recall and specificity mean where the finding is as common as stated: right and wrong alarms, and misses.

Precision on a collection of images holds for the share of findings in that collection alone. Likelihood ratios do not
depend on it, and lead to the predictive values at any prevalence (Deeks and Altman 2004, doi:10.1136/bmj.329.7458.168).
All of it takes for granted that images with the finding look as they do here, and so do images without.
"""

from dataclasses import dataclass
from math import exp, inf, log, sqrt

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field
from scipy.special import expit, logit

from tasks.evaluation.intervals import Estimate, Floats, undefined
from tasks.record import Frozen

_CERTAIN = 1e-9


class AtPrevalence(Frozen):
    """What the rule would do among images of which this share has the finding."""

    model_config = ConfigDict(allow_inf_nan=False)

    prevalence: float = Field(
        gt=0, lt=1, description="Share of images with the finding, taken as known exactly."
    )
    ppv: Estimate = Field(description="Positive predictive value: share of alarms that are right.")
    npv: Estimate = Field(
        description="Negative predictive value: share of images without alarm that are clear."
    )
    misses_per_1000: Estimate = Field(description="Findings without an alarm among 1,000 images.")
    alarms_per_1000: Estimate = Field(description="False alarms among 1,000 images.")


class LikelihoodRatios(Frozen):
    """How much an answer changes the odds of the finding."""

    positive: Estimate = Field(description="LR+: by how much an alarm multiplies the odds.")
    negative: Estimate = Field(description="LR−: by how much no alarm multiplies them.")


def likelihood_ratios(recall: Estimate, specificity: Estimate) -> LikelihoodRatios:
    """Of a rule, with intervals from those of its two rates, which are taken for independent."""
    n = recall.n + specificity.n
    return LikelihoodRatios(
        positive=_as_estimate(
            _ratio(_rate(recall), _rate(specificity).other), n, "no false alarm was raised"
        ),
        negative=_as_estimate(
            _ratio(_rate(recall).other, _rate(specificity)), n, "every image raised an alarm"
        ),
    )


def at_prevalence(recall: Estimate, specificity: Estimate, prevalence: float) -> AtPrevalence:
    """Of a rule, at a prevalence (0..1, ends excluded) that is taken as known exactly."""
    n = recall.n + specificity.n
    found, clear = _rate(recall), _rate(specificity)
    before = prevalence / (1 - prevalence)
    return AtPrevalence(
        prevalence=prevalence,
        ppv=_share(_ratio(found, clear.other).times(before), n, "no alarm was raised"),
        npv=_share(_ratio(clear, found.other).times(1 / before), n, "every image raised an alarm"),
        misses_per_1000=_count(found.other, 1000 * prevalence, recall),
        alarms_per_1000=_count(clear.other, 1000 * (1 - prevalence), specificity),
    )


def restated(probabilities: npt.ArrayLike, given: float, stated: float) -> Floats:
    """Probabilities (n,) of a finding that is as common as `given`, as they would be where it is as common as `stated`.

    Source: Saerens, Latinne and Decaestecker 2002, doi:10.1162/089976602753284446.
    """
    chance = np.clip(np.asarray(probabilities, dtype=np.float64), _CERTAIN, 1 - _CERTAIN)
    return np.asarray(expit(logit(chance) + logit(stated) - logit(given)), dtype=np.float64)


@dataclass(frozen=True)
class _Span:
    """A figure >= 0 with its interval; NaN where undefined, `upper` may be infinite."""

    value: float
    lower: float
    upper: float

    @property
    def other(self) -> "_Span":
        """One less it, of a rate."""
        return _Span(1 - self.value, 1 - self.upper, 1 - self.lower)

    def times(self, factor: float) -> "_Span":
        """It and its ends, multiplied."""
        return _Span(self.value * factor, self.lower * factor, self.upper * factor)


def _rate(figure: Estimate) -> _Span:
    nan = float("nan")
    return _Span(*(nan if end is None else end for end in (figure.value, figure.lower, figure.upper)))


def _ratio(above: _Span, below: _Span) -> _Span:
    """Their ratio, by square-and-add on its logarithm (MOVER, Zou and Donner 2008, doi:10.1002/sim.3095).

    Where one is zero the logarithm is not there: both ends of both intervals then stand, which is wider.
    """
    if above.value == 0 and below.value == 0:
        return _Span(*[float("nan")] * 3)
    if above.value == 0 or below.value == 0:
        return _Span(
            _divided(above.value, below.value),
            _divided(above.lower, below.upper),
            _divided(above.upper, below.lower),
        )
    value = above.value / below.value
    down = sqrt(_fall(above.value, above.lower) ** 2 + _fall(below.upper, below.value) ** 2)
    up = sqrt(_fall(above.upper, above.value) ** 2 + _fall(below.value, below.lower) ** 2)
    return _Span(value, value * exp(-down), value * exp(up) if up < inf else inf)


def _divided(above: float, below: float) -> float:
    return inf if below == 0 else above / below


def _fall(high: float, low: float) -> float:
    """Logarithm of how many times one is the other."""
    return inf if low == 0 else log(high / low)


def _as_estimate(span: _Span, n: int, infinite: str) -> Estimate:
    if np.isnan(span.value):
        return undefined("recall or specificity is undefined", n)
    if span.value == inf:
        return undefined(f"{infinite}: the ratio is beyond any bound that could be told", n)
    if np.isnan(span.lower) or span.upper == inf:
        return Estimate(value=span.value, n=n, reason="too few errors for an upper end")
    return Estimate(
        value=span.value, lower=span.lower, upper=span.upper, n=n, method="MOVER on the logarithm"
    )


def _share(odds: _Span, n: int, absent: str) -> Estimate:
    """Odds and their ends as a share of all."""
    if np.isnan(odds.value):
        return undefined(absent, n)
    value, lower, upper = (
        1.0 if end == inf else end / (1 + end) for end in (odds.value, odds.lower, odds.upper)
    )
    if np.isnan(lower) or np.isnan(upper):
        return Estimate(value=value, n=n, reason="recall or specificity has no interval")
    return Estimate(value=value, lower=lower, upper=upper, n=n, method="MOVER on the logarithm of the odds")


def _count(rate: _Span, images: float, of: Estimate) -> Estimate:
    """A rate of errors as a count among so many images."""
    if np.isnan(rate.value):
        return undefined(of.reason or "the rate is undefined", of.n)
    many = rate.times(images)
    if np.isnan(many.lower):
        return Estimate(value=many.value, n=of.n, reason=of.reason or "the rate has no interval")
    return Estimate(value=many.value, lower=many.lower, upper=many.upper, n=of.n, method=of.method)
