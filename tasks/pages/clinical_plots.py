"""Figures that a clinician asks for: is acting on the model worth it, and are its probabilities what they say?"""

from collections.abc import Sequence

from matplotlib.ticker import FixedLocator, FuncFormatter, PercentFormatter

from tasks.evaluation.calibration import ReliabilityPoint
from tasks.evaluation.calibration_figures import CurvePoint
from tasks.evaluation.net_benefit import NetBenefitCurve
from tasks.pages.svg import BLUE, COLOURS, DASHES, INK, axes_of, drawing, to_svg

_SHOWN_RATIOS = (50, 20, 10, 5, 3, 2, 1)
_LEAST_SHOWN = -0.25
"""Share of the best attainable net benefit below nothing at which the figure is cut."""


def net_benefit(curve: NetBenefitCurve, *, name: str = "net-benefit") -> str:
    """Net benefit for 100 images against how many false alarms one miss weighs, with acting on all and on none."""
    odds = [1 / at - 1 for at in curve.acts_from]

    def per_100(values: Sequence[float]) -> list[float]:
        return [100 * value for value in values]

    with drawing() as figure:
        axes = axes_of(figure, "one miss is as bad as so many false alarms", "net benefit in 100 images")
        axes.set_xscale("log")
        axes.set_xlim(max(odds), min(odds))
        axes.set_ylim(100 * _LEAST_SHOWN * curve.prevalence, 105 * curve.prevalence)
        axes.fill_between(
            odds, per_100(curve.lower), per_100(curve.upper), color=BLUE, alpha=0.2, linewidth=0
        )
        axes.plot(odds, per_100(curve.model), color=BLUE, label="this model, 95 % band")
        for place, (other, values) in enumerate(curve.others.items()):
            axes.plot(
                odds,
                per_100(values),
                color=COLOURS[2 + place],
                linestyle=DASHES[1 + place],
                linewidth=1.4,
                label=other,
            )
        axes.plot(
            odds,
            per_100(curve.act_on_all),
            color=INK,
            linewidth=1.0,
            linestyle="--",
            label="alarm on every image",
        )
        axes.axhline(0, color=INK, linewidth=1.0, linestyle=":", label="alarm on none")
        axes.xaxis.set_major_locator(FixedLocator([float(ratio) for ratio in _SHOWN_RATIOS]))
        axes.xaxis.set_minor_locator(FixedLocator([]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
        axes.legend(loc="best")
        return to_svg(
            figure,
            name,
            "Net benefit",
            "Net benefit of the model, of alarming on all images and on none, by harm ratio.",
        )


def reliability_diagram(
    points: Sequence[ReliabilityPoint], curve: Sequence[CurvePoint] = (), *, name: str = "reliability"
) -> str:
    """Observed share against predicted probability: a dot a bin with its interval, and a smooth curve with its band."""
    with drawing() as figure:
        axes = axes_of(figure, "predicted probability", "observed share")
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1.0))
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":", label="perfect")
        known = [(p.predicted, p.observed) for p in points if p.observed.value is not None]
        for predicted, observed in known:
            if observed.lower is not None and observed.upper is not None:
                axes.plot(
                    [predicted] * 2, [observed.lower, observed.upper], color=BLUE, linewidth=1.2, alpha=0.6
                )
        x, y = [predicted for predicted, _ in known], [observed.value or 0.0 for _, observed in known]
        joined = "o" if curve else "o-"
        axes.plot(x, y, joined, color=BLUE, markersize=5, label="this model, 95 % intervals", clip_on=False)
        if curve:
            at = [point.predicted for point in curve]
            low, high = [point.lower for point in curve], [point.upper for point in curve]
            axes.fill_between(at, low, high, color=BLUE, alpha=0.2, linewidth=0)
            axes.plot(at, [point.observed for point in curve], color=BLUE, label="smoothed, 95 % band")
        axes.legend(loc="upper left")
        return to_svg(figure, name, "Reliability diagram", "Observed share against predicted probability.")
