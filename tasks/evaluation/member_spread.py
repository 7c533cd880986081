"""How far the networks of one training differ: what another training, with another seed, would move the figures by."""

import numpy as np
from scipy.special import logit

from tasks.evaluation import intervals
from tasks.evaluation.intervals import Bools, Floats, Ints, Ranking
from tasks.evaluation.metrics import MemberFigures


def member_figures(
    positive: Bools, scores: Floats, raised: Bools, groups: Ints, members: Ints
) -> tuple[MemberFigures, ...]:
    """Each member on the images (n,) that it alone judged: positive flags, scores, what was called positive, groups."""
    found = []
    for member in np.unique(members[members >= 0]).tolist():
        own = members == member
        truth, called, of = positive[own], raised[own], groups[own]
        ranking = Ranking.of(scores[own], truth)
        auc = float(ranking.figures(np.ones((1, truth.size)))[0, 0])
        found.append(
            MemberFigures(
                index=member,
                n=int(own.sum()),
                recall=intervals.proportion(called[truth], of[truth], absent="no positive image"),
                specificity=intervals.proportion(~called[~truth], of[~truth], absent="no negative image"),
                auc=auc if np.isfinite(auc) else None,
            )
        )
    return tuple(found)


def member_words(members: tuple[MemberFigures, ...]) -> str:
    """The spread in one line: `specificity of the members, each on images that it never saw: 0.72 to 0.91`."""
    values = sorted(member.specificity.value for member in members if member.specificity.value is not None)
    if len(values) < 2:
        return ""
    return (
        f"specificity of the members, each on images that it never saw: {values[0]:.2f} to {values[-1]:.2f}"
    )


def variance_between(members: tuple[MemberFigures, ...]) -> dict[str, float]:
    """By rate, the variance of its mean over members, in logits, that comes of the networks and not of chance.

    Source: DerSimonian and Laird 1986, doi:10.1016/0197-2456(86)90046-2.
    """
    found = {}
    for name in ("recall", "specificity"):
        figures = [getattr(member, name) for member in members]
        rates = [(figure.value, figure.n) for figure in figures if figure.value is not None]
        if len(rates) < 2:
            continue
        values, sizes = (np.array(column, dtype=np.float64) for column in zip(*rates, strict=True))
        # Half an image is added to either side: a rate of one has no logit.
        smoothed = (values * sizes + 0.5) / (sizes + 1)
        precision = smoothed * (1 - smoothed) * sizes
        levels = logit(smoothed)
        mean = float((precision * levels).sum() / precision.sum())
        excess = float((precision * (levels - mean) ** 2).sum()) - (len(rates) - 1)
        scale = float(precision.sum() - (precision**2).sum() / precision.sum())
        found[name] = max(0.0, excess / scale) / len(rates)
    return found
