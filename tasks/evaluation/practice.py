"""In practice: what a rule for a finding would do where it is used, and whether its probabilities can be believed."""

import numpy as np
import numpy.typing as npt
from pydantic import Field

from tasks.evaluation.calibration_figures import CalibrationFigures, calibration_figures
from tasks.evaluation.intervals import Estimate
from tasks.evaluation.net_benefit import NetBenefitCurve, net_benefit_curve
from tasks.evaluation.prevalence import (
    AtPrevalence,
    LikelihoodRatios,
    at_prevalence,
    likelihood_ratios,
    restated,
)
from tasks.record import Frozen

EXAMPLES = (0.01, 0.05, 0.2)
"""Prevalences that are shown for comparison."""

SHOWN_PROBABILITIES = (0.1, 0.3, 0.5, 0.7, 0.9)


class RestatedProbability(Frozen):
    """A probability that the model gives, and what it comes to at the stated prevalence."""

    given: float = Field(ge=0, le=1, description="As the model gives it.")
    means: float = Field(ge=0, le=1, description="Where the finding is as common as stated.")


class InPractice(Frozen):
    """A finding's rule where it is used."""

    prevalence: float = Field(
        gt=0, lt=1, description="Share of images with the finding that the figures are for."
    )
    stated: bool = Field(description="Whether a person stated it; else it is that of the evaluated images.")
    of_images: float = Field(gt=0, lt=1, description="Share of the evaluated images that have the finding.")
    here: AtPrevalence = Field(description="What the rule would do there.")
    elsewhere: tuple[AtPrevalence, ...] = Field(
        description="At other prevalences, that of the images among them."
    )
    likelihood_ratios: LikelihoodRatios = Field(description="What holds at every prevalence.")
    net_benefit: NetBenefitCurve = Field(
        description="Whether acting on the probabilities does more good than harm."
    )
    restated: tuple[RestatedProbability, ...] = Field(
        description="Probabilities at the stated prevalence; empty where none was stated."
    )
    calibration: CalibrationFigures = Field(
        description="Whether the probabilities are what they say, on these images."
    )


def in_practice(
    positive: npt.NDArray[np.bool_],
    probabilities: npt.NDArray[np.float64],
    groups: npt.ArrayLike,
    recall: Estimate,
    specificity: Estimate,
    *,
    prevalence: float | None,
    facts: npt.NDArray[np.float64] | None = None,
) -> InPractice | None:
    """Of positive (n,) flags and probabilities (n,) with the rule's two rates; None without images of both kinds.

    `facts` (n,) are the probabilities that trivial facts alone lead to, as if both kinds were equally common.
    """
    if positive.all() or not positive.any():
        return None
    of_images = float(positive.mean())
    meant = of_images if prevalence is None else prevalence
    others = {} if facts is None else {"trivial facts": restated(facts, 0.5, meant)}
    known = {meant}
    elsewhere = sorted({*EXAMPLES, of_images} - known)
    return InPractice(
        prevalence=meant,
        stated=prevalence is not None,
        of_images=of_images,
        here=at_prevalence(recall, specificity, meant),
        elsewhere=tuple(at_prevalence(recall, specificity, one) for one in elsewhere),
        likelihood_ratios=likelihood_ratios(recall, specificity),
        net_benefit=net_benefit_curve(
            positive, restated(probabilities, of_images, meant), groups, meant, others=others
        ),
        restated=tuple(
            RestatedProbability(given=given, means=float(means))
            for given, means in zip(
                SHOWN_PROBABILITIES, restated(SHOWN_PROBABILITIES, of_images, meant), strict=True
            )
        )
        if prevalence is not None
        else (),
        calibration=calibration_figures(positive, probabilities, groups),
    )
