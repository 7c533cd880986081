"""The figures of the report, each as an inline SVG string; nothing here depends on pyplot or on a display."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from tasks.evaluation import intervals
from tasks.evaluation.intervals import Floats, Ranking
from tasks.pages.svg import BLUE, COLOURS, DASHES, INK, VERMILION, axes_of, drawing, to_svg

BAND_RESAMPLES = 500
_GRID = np.linspace(0.0, 1.0, 101)
_MOST_POINTS = 240
_MOST_LABELLED_CLASSES = 12
_MOST_LABEL_LETTERS = 14
_MOST_LABEL_LINES = 3


class EpochFigures(Protocol):
    """What the training curves show of one epoch."""

    @property
    def epoch(self) -> int:
        """Its number."""

    @property
    def train_loss(self) -> float:
        """Mean loss on what was learnt from."""

    @property
    def validation_loss(self) -> float | None:
        """Loss on the images that stop a training; None without such."""

    @property
    def validation_auc(self) -> float | None:
        """AUC on those images; None without such."""


def confusion_matrix(
    matrix: Sequence[Sequence[int]], classes: Sequence[str], *, name: str = "confusion"
) -> str:
    """Counts (classes, classes), rows the truth; the shading is the share of the row."""
    counts = np.asarray(matrix, dtype=np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    few = len(classes) <= 4
    side = 3.4 if few else 5.2
    with drawing(side + 0.8, side) as figure:
        axes = axes_of(figure, "predicted", "truth")
        axes.grid(False)
        if len(classes) <= _MOST_LABELLED_CLASSES:
            for (row, column), share in np.ndenumerate(shares):
                axes.add_patch(_cell(row, column, float(share)))
                text = f"{int(counts[row, column])}\n{share:.0%}"
                axes.text(column, row, text, ha="center", va="center", fontsize=12 if few else 8)
            ticks = range(len(classes))
            names = labels_of(classes)
            long = max(map(len, classes)) > _MOST_LABEL_LETTERS
            axes.set_xticks(
                ticks, names, rotation=0 if few and not long else 45, ha="right" if long else "center"
            )
            axes.set_yticks(ticks, names)
        else:
            # Few levels and pixels: the picture of a thousand classes stays small.
            axes.imshow(np.round(shares * 15) / 15, cmap="cividis", vmin=0, vmax=1, interpolation="nearest")
            figure.set_dpi(60)
        axes.set(xlim=(-0.5, len(classes) - 0.5), ylim=(len(classes) - 0.5, -0.5), aspect="equal")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        return to_svg(figure, name, "Confusion matrix", "Counts of images by truth (rows) and prediction.")


def roc_curve(
    positive: npt.ArrayLike,
    scores: npt.ArrayLike,
    groups: npt.ArrayLike,
    *,
    operating: tuple[float, float] | None = None,
    name: str = "roc",
) -> str:
    """ROC curve of positive (n,) flags and scores (n,), with a pointwise 95 % band by bootstrap over groups.

    `operating` is the (1 - specificity, recall) of the evaluation's own, cross-fitted thresholds.
    """
    ranking = Ranking.of(scores, positive)
    x, y = _roc(ranking, np.ones((1, np.size(scores))))

    def band(weights: Floats) -> Floats:
        return _on_grid(*_roc(ranking, weights))

    with drawing() as figure:
        axes = _unit_axes(axes_of(figure, "1 − specificity (false alarms)", "recall"))
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":", label="chance")
        _fill_band(axes, band, groups)
        axes.plot(*_thin(x[0], y[0]), color=BLUE, label="this model")
        if operating is not None:
            axes.plot(*operating, "o", color=VERMILION, markersize=8, label="as evaluated", clip_on=False)
        axes.legend(loc="lower right")
        return to_svg(figure, name, "ROC curve", "Recall against false alarms over all thresholds.")


def precision_recall_curve(
    positive: npt.ArrayLike,
    scores: npt.ArrayLike,
    groups: npt.ArrayLike,
    *,
    operating: tuple[float, float] | None = None,
    name: str = "precision-recall",
) -> str:
    """Precision against recall with a pointwise 95 % band; `operating`: (recall, precision) as evaluated."""
    ranking = Ranking.of(scores, positive)
    x, y = _precision_recall(ranking, np.ones((1, np.size(scores))))

    def band(weights: Floats) -> Floats:
        return _on_grid(*_precision_recall(ranking, weights))

    with drawing() as figure:
        axes = _unit_axes(axes_of(figure, "recall", "precision"))
        share = float(np.mean(np.asarray(positive, dtype=np.float64)))
        axes.axhline(share, color=INK, linewidth=0.8, linestyle=":", label="chance")
        _fill_band(axes, band, groups)
        axes.plot(*_thin(x[0], y[0]), color=BLUE, label="this model")
        if operating is not None:
            axes.plot(*operating, "o", color=VERMILION, markersize=8, label="as evaluated", clip_on=False)
        axes.legend(loc="lower left")
        return to_svg(figure, name, "Precision-recall curve", "Precision against recall over all thresholds.")


def roc_curves_by_class(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, classes: Sequence[str], *, name: str = "roc-classes"
) -> str:
    """One-against-rest ROC curves of labels (n,) and probabilities (n, classes); the six largest classes."""
    truth, chance = np.asarray(labels, dtype=np.int64), np.asarray(probabilities, dtype=np.float64)
    counts = np.bincount(truth, minlength=len(classes))
    shown = [int(c) for c in np.argsort(-counts, kind="stable")[: len(COLOURS)] if 0 < counts[c] < truth.size]
    with drawing() as figure:
        axes = _unit_axes(axes_of(figure, "1 − specificity (false alarms)", "recall"))
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":", label="chance")
        for place, c in enumerate(shown):
            x, y = _roc(Ranking.of(chance[:, c], truth == c), np.ones((1, truth.size)))
            style = DASHES[place % len(DASHES)]
            axes.plot(*_thin(x[0], y[0]), color=COLOURS[place], linestyle=style, label=_short(classes[c]))
        axes.legend(loc="lower right")
        return to_svg(figure, name, "ROC curves by class", "Recall against false alarms, class against rest.")


def roc_curves(
    positive: npt.ArrayLike,
    models: Mapping[str, npt.ArrayLike],
    *,
    operating: Mapping[str, tuple[float, float]],
    name: str = "roc-models",
) -> str:
    """ROC curves of models on the same images: positive (n,) flags, and each model's scores (n,) by its name.

    `operating` is each one's (1 - specificity, recall) as evaluated.
    """
    with drawing() as figure:
        axes = _unit_axes(axes_of(figure, "1 − specificity (false alarms)", "recall"))
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":", label="chance")
        for place, (model, scores) in enumerate(models.items()):
            x, y = _roc(Ranking.of(scores, positive), np.ones((1, np.size(scores))))
            colour, style = COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]
            axes.plot(*_thin(x[0], y[0]), color=colour, linestyle=style, label=_short(model))
            if model in operating:
                axes.plot(*operating[model], "o", color=colour, markersize=8, clip_on=False)
        axes.legend(loc="lower right")
        return to_svg(
            figure, name, "ROC curves", "Recall against false alarms over all thresholds, by model."
        )


def threshold_trade_off(
    positive: npt.ArrayLike, scores: npt.ArrayLike, threshold: float, *, name: str = "trade-off"
) -> str:
    """Recall and specificity over all thresholds, the served one marked."""
    truth, values = np.asarray(positive, dtype=np.bool_), np.asarray(scores, dtype=np.float64)
    cuts = np.unique(np.concatenate([values, [0.0, threshold, 1.0]]))
    recall = 1 - np.searchsorted(np.sort(values[truth]), cuts, side="left") / max(int(truth.sum()), 1)
    specificity = np.searchsorted(np.sort(values[~truth]), cuts, side="left") / max(int((~truth).sum()), 1)
    with drawing() as figure:
        axes = _unit_axes(axes_of(figure, "threshold", "share of images"))
        axes.plot(*_thin(cuts, recall), color=BLUE, label="recall", drawstyle="steps-pre")
        axes.plot(
            *_thin(cuts, specificity),
            color=VERMILION,
            linestyle="--",
            label="specificity",
            drawstyle="steps-pre",
        )
        axes.axvline(threshold, color=INK, linewidth=1.0, linestyle=":", label=f"served, {threshold:.2f}")
        axes.legend(loc="lower center")
        return to_svg(figure, name, "Threshold trade-off", "Recall and specificity against the threshold.")


def score_histogram(
    positive: npt.ArrayLike,
    scores: npt.ArrayLike,
    threshold: float,
    *,
    positive_class: str,
    name: str = "scores",
) -> str:
    """Images by probability: the positive class above the line, all others below it."""
    truth, values = np.asarray(positive, dtype=np.bool_), np.asarray(scores, dtype=np.float64)
    edges = np.linspace(0, 1, 26)
    above, below = (np.histogram(values[side], bins=edges)[0] for side in (truth, ~truth))
    with drawing() as figure:
        axes = axes_of(figure, f"probability of {_short(positive_class)}", "images")
        width = float(edges[1]) * 0.92
        middle = (edges[1:] + edges[:-1]) / 2
        axes.bar(middle, above, width, color=BLUE, label=_short(positive_class))
        axes.bar(
            middle,
            -below,
            width,
            color=VERMILION,
            hatch="///",
            edgecolor="#ffffff66",
            linewidth=0,
            label="other",
        )
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.axvline(threshold, color=INK, linewidth=1.0, linestyle=":", label=f"threshold, {threshold:.2f}")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(lambda count, _: f"{abs(count):.0f}")
        axes.set_xlim(0, 1)
        axes.legend(loc="upper center")
        return to_svg(
            figure, name, "Images by probability", "Counts of images by probability and true class."
        )


def training_curves(members: Mapping[str, Sequence[EpochFigures]], *, name: str = "training") -> str:
    """Loss and, where there is any, validation AUC by epoch; thin lines are single members, thick ones their mean."""
    validated = any(row.validation_auc is not None for rows in members.values() for row in rows)
    with drawing(8.6 if validated else 4.6, 3.2) as figure:
        left, *right = figure.subplots(1, 2 if validated else 1, squeeze=False)[0]
        _by_epoch(left, members, "train_loss", label="training", colour=BLUE)
        _by_epoch(left, members, "validation_loss", label="validation", colour=VERMILION)
        for axes in right:
            _by_epoch(axes, members, "validation_auc", label="validation", colour=VERMILION)
        for axes, label in zip([left, *right], ("loss", "AUC"), strict=False):
            axes.set(xlabel="epoch", ylabel=label)
            axes.grid(True)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if axes.has_data():
                axes.legend(loc="best")
        return to_svg(figure, name, "Training curves", "Loss and validation AUC by epoch, for each member.")


def _by_epoch(
    axes: Axes,
    members: Mapping[str, Sequence[EpochFigures]],
    field: str,
    *,
    label: str,
    colour: str,
) -> None:
    style = "-" if colour == BLUE else "--"
    by_epoch: dict[int, list[float]] = {}
    for rows in members.values():
        known = [(row.epoch, float(getattr(row, field))) for row in rows if getattr(row, field) is not None]
        for epoch, value in known:
            by_epoch.setdefault(epoch, []).append(value)
        if known and len(members) > 1:
            axes.plot(*_thin(*np.array(known).T), color=colour, linestyle=style, linewidth=0.8, alpha=0.6)
    if by_epoch:
        means = [(epoch, float(np.mean(values))) for epoch, values in sorted(by_epoch.items())]
        axes.plot(*_thin(*np.array(means).T), color=colour, linestyle=style, linewidth=2.2, label=label)


def _cell(row: int, column: int, share: float) -> Rectangle:
    colour = BLUE if row == column else VERMILION
    corner = (column - 0.48, row - 0.48)
    return Rectangle(corner, 0.96, 0.96, facecolor=colour, alpha=0.08 + 0.5 * share, linewidth=0)


def labels_of(names: Sequence[str]) -> list[str]:
    """Names as a figure has room for, no two alike: long ones stand in lines, very long ones lack their middle."""
    shown = [_short(name) for name in names]
    twice = {label for label in shown if shown.count(label) > 1}
    return [f"{label} ({place})" if label in twice else label for place, label in enumerate(shown, start=1)]


def _short(text: str) -> str:
    """In lines of a few letters, the middle left out where there would be more than three; never a hidden label."""
    most = _MOST_LABEL_LINES * _MOST_LABEL_LETTERS
    if len(text) > most:
        text = f"{text[: most // 2]}…{text[1 - most // 2 :]}"
    shown = "\n".join(textwrap.wrap(text, _MOST_LABEL_LETTERS, break_on_hyphens=False)) or text
    return f" {shown}" if shown.startswith("_") else shown  # a legend leaves out what begins so


def _unit_axes(axes: Axes) -> Axes:
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    return axes


def _roc(ranking: Ranking, weights: Floats) -> tuple[Floats, Floats]:
    """False-alarm rate and recall (b, scores + 1) under image weights (b, n)."""
    hits, alarms = ranking.counts(weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = (np.cumsum(c, axis=1) / c.sum(axis=1, keepdims=True) for c in (alarms, hits))
    return np.pad(x, ((0, 0), (1, 0))), np.pad(y, ((0, 0), (1, 0)))


def _precision_recall(ranking: Ranking, weights: Floats) -> tuple[Floats, Floats]:
    """Recall and precision (b, scores) under image weights (b, n)."""
    hits, alarms = ranking.counts(weights)
    found, raised = np.cumsum(hits, axis=1), np.cumsum(alarms, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return found / found[:, -1:], np.where(found + raised > 0, found / (found + raised), 1.0)


def _on_grid(x: Floats, y: Floats) -> Floats:
    """Each row's curve read at the grid (b, 101)."""
    return np.stack([np.interp(_GRID, a, b) for a, b in zip(x, y, strict=True)])


def _fill_band(axes: Axes, curve: intervals.Statistic, groups: npt.ArrayLike) -> None:
    replicates = intervals.bootstrap(curve, groups, resamples=BAND_RESAMPLES, seed=0)
    known = replicates[np.isfinite(replicates).all(axis=1)]
    if len(known) * 2 < len(replicates):
        return
    tail = (1 - intervals.CONFIDENCE) / 2
    lower, upper = np.quantile(known, [tail, 1 - tail], axis=0)
    axes.fill_between(_GRID, lower, upper, color=BLUE, alpha=0.2, linewidth=0, label="95 % band")


def _thin(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """At most 240 points of a curve, its ends kept, so that a figure stays small for any number of images."""
    if len(x) <= _MOST_POINTS:
        return x, y
    kept = np.unique(np.linspace(0, len(x) - 1, _MOST_POINTS).astype(np.int64))
    return x[kept], y[kept]
