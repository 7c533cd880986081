"""Two models side by side as one HTML page that needs no network, in the report's design."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from tasks.evaluation.comparison import Comparison
from tasks.evaluation.intervals import Estimate, Floats, Ints
from tasks.evaluation.metrics import Evaluation
from tasks.pages import plots
from tasks.pages.headline import difference_words
from tasks.pages.report_page import Plot, page_environment

MOST_DISAGREEMENTS = 24
"""Pictures shown of either kind: only the first right, only the second."""

# Field of the evaluation, name in the table, whether it is a share of images, field of the paired difference.
COMPARED_FIGURES = (
    ("auc", "ROC AUC", False, "auc_difference"),
    ("recall", "Recall (sensitivity)", True, "recall_difference"),
    ("specificity", "Specificity", True, "specificity_difference"),
    ("precision", "Precision", True, None),
    ("balanced_accuracy", "Balanced accuracy", True, None),
    ("average_precision", "Average precision", False, None),
    ("brier", "Brier score", False, None),
)


@dataclass(frozen=True)
class ComparedModel:
    """One of the two: probabilities (n, classes) and predicted class indices (n,) of the common images."""

    name: str
    uri: str
    facts: str
    evaluation: Evaluation
    probabilities: Floats
    predicted: Ints


@dataclass(frozen=True)
class Disagreement:
    """An image that one of the two predicts rightly and the other wrongly; pixels uint8 (H, W, 3) RGB.

    `said` tells of each model, in order, the predicted class and the probability of the class that is looked for, or
    of the true class where there is none.
    """

    path: str
    label: str
    pixels: npt.NDArray[np.uint8]
    said: Sequence[tuple[str, float]]


@dataclass(frozen=True)
class ComparisonContent:
    """Everything that the page says; labels (n,) are class indices of the common images."""

    created: str
    dataset: str
    images_url: str
    models: tuple[ComparedModel, ComparedModel]
    labels: Ints
    comparison: Comparison
    recall_target: float
    images: int
    notes: Sequence[str]
    only_right: tuple[Sequence[Disagreement], Sequence[Disagreement]]


def render_comparison(content: ComparisonContent) -> str:
    """Render the page: self-contained, light, dark and print, all data escaped."""
    first, second = content.models
    comparison = content.comparison
    return (
        page_environment()
        .get_template("comparison.html.j2")
        .render(
            content=content,
            comparison=comparison,
            first=first,
            second=second,
            evaluation=first.evaluation,
            words=difference_words(comparison.auc_difference, first.name, second.name),
            auc_test=_probability(comparison.auc_p_value),
            error_test=_probability(comparison.p_value),
            figures=COMPARED_FIGURES,
            plots=_plots(content),
            only_right=[
                (
                    *(first, second, comparison.only_champion_right, comparison.champion.errors),
                    content.only_right[0],
                ),
                (
                    *(second, first, comparison.only_challenger_right, comparison.challenger.errors),
                    content.only_right[1],
                ),
            ],
        )
    )


def _plots(content: ComparisonContent) -> list[Plot]:
    evaluation = content.models[0].evaluation
    found = []
    for place, model in enumerate(content.models):
        svg = plots.confusion_matrix(
            model.evaluation.confusion_matrix, evaluation.classes, name=f"confusion-{place}"
        )
        found.append(_plot(svg, model.name, "Confusion matrix; shading is the share of the row."))
    if evaluation.positive_class is not None:
        positive = evaluation.classes.index(evaluation.positive_class)
        scores = {model.name: model.probabilities[:, positive] for model in content.models}
        operating = {
            model.name: at
            for model in content.models
            if (at := _at(model.evaluation.specificity, model.evaluation.recall)) is not None
        }
        svg = plots.roc_curves(content.labels == positive, scores, operating=operating)
        found.append(_plot(svg, "ROC", "The dots are what the figures below say."))
    return found


def _at(specificity: Estimate, recall: Estimate) -> tuple[float, float] | None:
    if specificity.value is None or recall.value is None:
        return None
    return 1 - specificity.value, recall.value


def _plot(svg: str, title: str, caption: str) -> Plot:
    # Made here from numbers; Matplotlib escapes what text they hold.
    return Plot(Markup(svg), title, caption)  # noqa: S704


def _probability(p_value: float | None) -> str | None:
    if p_value is None:
        return None
    return "less than 0.001" if p_value < 0.001 else f"{p_value:.3f}"
