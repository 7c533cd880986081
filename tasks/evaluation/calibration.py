"""Whether probabilities mean what they say: how far predictions are from the truth."""

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field

from tasks.evaluation.intervals import Estimate, Floats, proportion
from tasks.record import Frozen

N_BINS = 10


class ReliabilityPoint(Frozen):
    """One bin of the reliability diagram: what was said against what was so."""

    model_config = ConfigDict(allow_inf_nan=False)

    predicted: float = Field(ge=0, le=1, description="Mean predicted probability in the bin.")
    observed: Estimate = Field(description="Share of positive images in the bin.")


def equal_mass_bins(probabilities: npt.ArrayLike, n_bins: int = N_BINS) -> list[npt.NDArray[np.int64]]:
    """Indices of each bin: as even in number as ties allow, equal probabilities together.

    Equal-width bins leave most bins of a good classifier nearly empty; equal mass does not
    (Nixon et al. 2019, arXiv:1904.01685).
    """
    values = np.asarray(probabilities, dtype=np.float64)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, n_bins + 1)[1:-1]))
    bins = np.searchsorted(edges, values, side="left")
    return [np.flatnonzero(bins == b) for b in range(edges.size + 1) if (bins == b).any()]


def expected_calibration_error(
    positive: npt.ArrayLike, probabilities: npt.ArrayLike, n_bins: int = N_BINS
) -> float:
    """Mean distance, weighted by images, of predicted from observed share over equal-mass bins; 0..1."""
    truth, values = np.asarray(positive, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    gaps = [abs(float(values[b].mean() - truth[b].mean())) * b.size for b in equal_mass_bins(values, n_bins)]
    return min(1.0, sum(gaps) / values.size)


def reliability_curve(
    positive: npt.ArrayLike, probabilities: npt.ArrayLike, groups: npt.ArrayLike, n_bins: int = N_BINS
) -> list[ReliabilityPoint]:
    """Points of the reliability diagram, ascending, for positive (n,) flags and probabilities (n,)."""
    truth, group_of = np.asarray(positive, dtype=np.bool_), np.asarray(groups)
    values: Floats = np.asarray(probabilities, dtype=np.float64)
    return [
        ReliabilityPoint(
            predicted=float(np.clip(values[b].mean(), 0, 1)),
            observed=proportion(truth[b], group_of[b], absent="empty bin"),
        )
        for b in equal_mass_bins(values, n_bins)
    ]
