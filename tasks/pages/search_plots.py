"""The figures of a search: what the budget brought, which settings did well, and how the recipes learnt."""

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from tasks.automl.tried import Tried
from tasks.evaluation.intervals import Floats
from tasks.pages.svg import BLUE, COLOURS, INK, VERMILION, axes_of, drawing, to_svg

MOST_LINES = 24
"""Recipes of a figure: the best; more cannot be told apart."""


def score_by_minutes(rows: Sequence[Tried], label: str, *, smaller_is_better: bool) -> str:
    """Each recipe's figure when it was had, and the best so far."""
    known = sorted((row for row in rows if row.score is not None), key=lambda row: row.finished_at_seconds)
    minutes = np.array([row.finished_at_seconds / 60 for row in known])
    scores = np.array([row.score for row in known], dtype=np.float64)
    best = (np.minimum if smaller_is_better else np.maximum).accumulate(scores)
    with drawing() as figure:
        axes = axes_of(figure, "minutes", label)
        for kind, colour, marker in (("probe", VERMILION, "s"), ("fine_tune", BLUE, "o")):
            own = np.array([row.kind == kind for row in known])
            if own.any():
                name = kind.replace("_", "-")
                axes.plot(
                    minutes[own], scores[own], marker, color=colour, markersize=5, alpha=0.8, label=name
                )
        axes.step(minutes, best, where="post", color=BLUE, linewidth=1.4, label="best so far")
        axes.legend(loc="lower right" if not smaller_is_better else "upper right")
        return to_svg(
            figure, "search-minutes", f"{label} by minutes", "A mark a recipe, a line the best so far."
        )


def parallel_coordinates(rows: Sequence[Tried], label: str, *, smaller_is_better: bool) -> str | None:
    """A line a fine-tuned recipe through its settings to its figure; None where fewer than two were fine-tuned."""
    tuned = [row for row in rows if row.kind == "fine_tune" and row.score is not None][:MOST_LINES]
    if len(tuned) < 2:
        return None
    names = ["backbone", *(name for name in tuned[0].values if name != "base")]
    columns = {name: [_setting(row, name) for row in tuned] for name in names}
    columns = {name: values for name, values in columns.items() if len(set(map(str, values))) > 1}
    columns[label] = [row.score for row in tuned]
    scores = np.array(columns[label], dtype=np.float64)
    merit = _scaled(-scores if smaller_is_better else scores)
    with drawing(8.4, 3.6) as figure:
        axes = axes_of(figure, "", "")
        axes.grid(False)
        heights, ticks = zip(*(_heights(values) for values in columns.values()), strict=True)
        for place, row in enumerate(tuned):
            line = [column[place] for column in heights]
            colour = BLUE if row.state == "survivor" else VERMILION
            axes.plot(range(len(line)), line, color=colour, alpha=0.25 + 0.7 * merit[place], linewidth=1.2)
        for column, marks in enumerate(ticks):
            axes.axvline(column, color=INK, alpha=0.2, linewidth=0.8)
            for height, text in marks:
                axes.text(column + 0.03, height, text, fontsize=8, va="center")
        axes.set_xticks(range(len(columns)), [name.replace("_", " ") for name in columns])
        axes.set_yticks([])
        axes.set(xlim=(-0.1, len(columns) - 0.5), ylim=(-0.08, 1.08))
        axes.spines[:].set_visible(False)
        return to_svg(
            figure,
            "search-settings",
            "Settings and figure",
            "A line a recipe; blue ones were trained to their end.",
        )


def learning_curves(rows: Sequence[Tried]) -> str | None:
    """Loss by epoch of the fine-tuned recipes; None where none was."""
    tuned = [row for row in rows if row.curve][:MOST_LINES]
    if not tuned:
        return None
    backbones = list(dict.fromkeys(row.backbone for row in tuned))
    with drawing() as figure:
        axes = axes_of(figure, "epoch", "training loss")
        for row in tuned:
            colour = COLOURS[backbones.index(row.backbone) % len(COLOURS)]
            first = row is next(other for other in tuned if other.backbone == row.backbone)
            axes.plot(
                [point.epoch for point in row.curve],
                [point.train_loss for point in row.curve],
                color=colour,
                alpha=0.9 if row.chosen_for else 0.5,
                linewidth=2.0 if row.chosen_for else 1.0,
                marker="o",
                markersize=3,
                label=row.backbone if first else None,
            )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="upper right")
        return to_svg(
            figure, "search-curves", "Loss by epoch", "A line a recipe, those that were chosen thick."
        )


def _setting(row: Tried, name: str) -> object:
    return row.backbone if name == "backbone" else row.values.get(name)


def _heights(values: Sequence[object]) -> tuple[list[float], list[tuple[float, str]]]:
    """Where a column's values stand between 0 and 1, and the marks that say what is where."""
    if all(isinstance(value, float) for value in values):
        numbers = np.array(values, dtype=np.float64)
        wide = numbers.min() > 0 and numbers.max() / numbers.min() > 5
        places = _scaled(np.log(numbers) if wide else numbers)
        low, high = int(numbers.argmin()), int(numbers.argmax())
        return places.tolist(), [(0.0, f"{numbers[low]:.3g}"), (1.0, f"{numbers[high]:.3g}")]
    kinds = sorted({str(value) for value in values})
    step = 1 / max(1, len(kinds) - 1)
    return [kinds.index(str(value)) * step for value in values], [
        (place * step, kind) for place, kind in enumerate(kinds)
    ]


def _scaled(values: Floats) -> Floats:
    spread = values.max() - values.min()
    return (values - values.min()) / spread if spread > 0 else np.full(len(values), 0.5)
