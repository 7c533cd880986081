"""The report as one HTML page that needs no network: figures first in words, then in tables and pictures."""

import base64
import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from PIL import Image

from tasks.automl.tried import telling
from tasks.evaluation import words
from tasks.evaluation.calibration import reliability_curve
from tasks.evaluation.comparison import Comparison
from tasks.evaluation.intervals import Estimate
from tasks.evaluation.metrics import ClassFigures, Evaluation
from tasks.evaluation.practice import InPractice
from tasks.evaluation.threshold import OperatingPoint, operating_point, trade_off
from tasks.models.about import NOT_STATED
from tasks.pages import clinical_plots, clinical_words, plots
from tasks.pages.content import ReportContent, SearchFacts
from tasks.pages.headline import PROTOCOLS, capitalized, comparison_words, headline
from tasks.pages.icons import hundred_dots
from tasks.pages.search_plots import learning_curves, parallel_coordinates, score_by_minutes

MOST_REJECTS = 100
MOST_CLASSES = 30
MOST_TRIED = 20
THUMBNAIL_PX = 200

# Field of the evaluation, name in the table, whether it is a share of images.
FIGURES = (
    ("recall", "Recall (sensitivity)", True),
    ("specificity", "Specificity", True),
    ("precision", "Precision", True),
    ("f1", "F1", False),
    ("accuracy", "Accuracy", True),
    ("balanced_accuracy", "Balanced accuracy", True),
    ("auc", "ROC AUC", False),
    ("average_precision", "Average precision", False),
    ("brier", "Brier score", False),
    ("log_loss", "Log loss", False),
)


@dataclass(frozen=True)
class Plot:
    """A figure with its caption; `wide` ones take the page's whole width."""

    svg: Markup
    title: str
    caption: str
    wide: bool = False


def render_page(content: ReportContent) -> str:
    """Render the report: one self-contained HTML page, light, dark and print, all data escaped."""
    return (
        page_environment()
        .get_template("report_page.html.j2")
        .render(
            content=content,
            evaluation=content.evaluation,
            headline=headline(content),
            protocol=PROTOCOLS[content.evaluation.protocol],
            figures=FIGURES,
            notes=clinical_words.NOTES,
            not_stated=NOT_STATED,
            plots={
                **report_plots(content),
                "practice": _practice_plots(content.practice),
                "champion": _champion_plots(content.comparison),
                "search": _search_plots(content.search),
            },
            most_tried=MOST_TRIED,
            telling_names=telling(content.search.tried) if content.search else frozenset(),
            points=operating_points(content),
            per_class=hardest_classes(content.evaluation),
            comparison_words=comparison_words,
            sections=_sections(content),
            most_rejects=MOST_REJECTS,
        )
    )


def page_environment() -> Environment:
    """The templates beside this module, with the filters that write figures."""
    environment = Environment(
        loader=PackageLoader("tasks.pages", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        share=words.share,
        number=words.number,
        interval=words.interval_or_reason,
        interval_of_share=words.interval_of_share,
        interval_of_difference=words.interval_of_difference,
        signed=words.signed,
        jpeg=jpeg,
        dots=dots,
        capitalize_first=capitalized,
        in_100=clinical_words.in_100,
        count=clinical_words.count,
        of_100=clinical_words.of_100,
        ratio=clinical_words.ratio,
        chance=clinical_words.chance,
        where_it_is_for=clinical_words.where_it_is_for,
        how_believable=clinical_words.how_believable,
        ece_by_chance=clinical_words.ece_by_chance,
        worth_it=clinical_words.worth_it,
    )
    return environment


def report_plots(content: ReportContent) -> dict[str, list[Plot]]:
    """The figures by section: discrimination, threshold, calibration, training."""
    evaluation, predictions = content.evaluation, content.predictions
    found: dict[str, list[Plot]] = {"discrimination": [], "threshold": [], "calibration": [], "training": []}
    confusion = plots.confusion_matrix(evaluation.confusion_matrix, evaluation.classes)
    found["discrimination"].append(_plot(confusion, "Confusion matrix", "Shading is the share of the row."))
    if content.curves:
        curves = plots.training_curves(content.curves)
        caption = (
            "Thin lines are single members, thick ones their mean. Validation images are never evaluated on."
        )
        if content.serving.figures_of == "members":
            caption = "Thin lines are single members, thick ones their mean."
        validated = any(row.validation_auc is not None for rows in content.curves.values() for row in rows)
        title = "Loss and AUC by epoch" if validated else "Loss by epoch"
        found["training"].append(_plot(curves, title, caption, wide=validated))
    if evaluation.positive_class is None:
        by_class = plots.roc_curves_by_class(
            predictions.labels, predictions.probabilities, evaluation.classes
        )
        found["discrimination"].append(_plot(by_class, "ROC by class", "Each class against the rest."))
        right = predictions.probabilities.argmax(axis=1) == predictions.labels
        reliability = reliability_curve(right, predictions.probabilities.max(axis=1), predictions.groups)
        caption = "How often the likeliest class is right, against its probability."
        found["calibration"].append(
            _plot(clinical_plots.reliability_diagram(reliability), "Reliability", caption)
        )
        return found
    positive, scores = _positive_scores(content)
    groups = predictions.groups
    recall, specificity, precision = (
        getattr(evaluation, name).value for name in ("recall", "specificity", "precision")
    )
    at_roc = None if recall is None or specificity is None else (1 - specificity, recall)
    at_precision = None if recall is None or precision is None else (recall, precision)
    band = (
        "The band covers the curve in 95 % of resamples of the groups; the dot is what the figures above say."
    )
    found["discrimination"] += [
        _plot(plots.roc_curve(positive, scores, groups, operating=at_roc), "ROC", band),
        _plot(
            plots.precision_recall_curve(positive, scores, groups, operating=at_precision),
            "Precision-recall",
            band,
        ),
    ]
    points = reliability_curve(positive, scores, groups)
    curve = content.practice.calibration.curve if content.practice is not None else ()
    caption = "Each dot is about a tenth of the images. On the dotted line, 70 % means 70 of 100."
    diagram = clinical_plots.reliability_diagram(points, curve)
    found["calibration"].append(_plot(diagram, "Reliability", caption))
    if content.serving.threshold is not None:
        served = content.serving.threshold
        name = evaluation.positive_class
        caption = "A lower threshold misses less and alarms more."
        found["threshold"] += [
            _plot(plots.threshold_trade_off(positive, scores, served), "Recall and specificity", caption),
            _plot(
                plots.score_histogram(positive, scores, served, positive_class=name),
                "Images by probability",
                f"{name} above the line, all other images below it.",
            ),
        ]
    return found


def _practice_plots(practice: InPractice | None) -> list[Plot]:
    if practice is None:
        return []
    caption = "The model is of use only where its line is above both the dashed one and the dotted one."
    return [_plot(clinical_plots.net_benefit(practice.net_benefit), "Net benefit", caption)]


def _champion_plots(comparison: Comparison | None) -> list[Plot]:
    if comparison is None or comparison.net_benefit is None:
        return []
    caption = "Both models on their common images, at the share of findings among these."
    drawn = clinical_plots.net_benefit(comparison.net_benefit, name="net-benefit-champion")
    return [_plot(drawn, "Net benefit", caption)]


def _search_plots(search: SearchFacts | None) -> list[Plot]:
    if search is None:
        return []
    rows, label, smaller = search.tried, search.objective, search.smaller_is_better
    found = [
        _plot(
            score_by_minutes(rows, label, smaller_is_better=smaller),
            f"{label} by minutes",
            "These figures chose the recipe: they flatter it.",
        )
    ]
    curves = learning_curves(rows)
    if curves is not None:
        found.append(_plot(curves, "Loss by epoch", "A line a recipe; thick ones were chosen."))
    settings = parallel_coordinates(rows, label, smaller_is_better=smaller)
    if settings is not None:
        caption = "A line a fine-tuned recipe: the stronger, the better; blue ones were trained to their end."
        found.append(_plot(settings, "Settings", caption, wide=True))
    return found


def hardest_classes(evaluation: Evaluation) -> list[ClassFigures]:
    """All classes in their order, or of many those of lowest recall."""
    if len(evaluation.per_class) <= MOST_CLASSES:
        return evaluation.per_class
    known = [figures for figures in evaluation.per_class if figures.recall.value is not None]
    return sorted(known, key=lambda figures: figures.recall.value or 0.0)[:MOST_CLASSES]


def operating_points(content: ReportContent) -> list[OperatingPoint]:
    """The trade-off table: recall targets and the served threshold, thresholds descending."""
    served = content.serving.threshold
    if content.evaluation.positive_class is None or served is None:
        return []
    positive, scores = _positive_scores(content)
    groups = content.predictions.groups
    points = trade_off(positive, scores, groups) if positive.any() else []
    at_served = operating_point(positive, scores, groups, served)
    outcome = (at_served.misses, at_served.false_alarms)
    others = [point for point in points if (point.misses, point.false_alarms) != outcome]
    return sorted([*others, at_served], key=lambda point: -point.threshold)


def _positive_scores(content: ReportContent) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    index = content.evaluation.classes.index(str(content.evaluation.positive_class))
    return content.predictions.labels == index, content.predictions.probabilities[:, index]


def _plot(svg: str, title: str, caption: str, *, wide: bool = False) -> Plot:
    # The figures are made here from numbers; Matplotlib escapes what text they hold.
    return Plot(Markup(svg), title, caption, wide)  # noqa: S704


def _sections(content: ReportContent) -> list[tuple[str, str]]:
    """Anchors of the sections that appear."""
    present = [
        ("figures", "Figures", True),
        ("practice", "In practice", content.practice is not None),
        ("patients", "Patients", True),
        ("subgroups", "Subgroups", bool(content.subgroups)),
        ("robustness", "Robustness", bool(content.robustness)),
        ("second-looks", "Second looks", bool(content.second_looks)),
        ("champion", "Champion", content.comparison is not None),
        ("threshold", "Threshold", content.serving.threshold is not None),
        ("calibration", "Calibration", True),
        ("errors", "Errors and hits", bool(content.worst_errors or content.surest_hits)),
        ("suspects", "Suspect labels", bool(content.suspects)),
        ("about", "About the data", True),
        ("data", "Data", True),
        ("shortcuts", "Shortcuts", bool(content.shortcuts)),
        ("search", "Search", content.search is not None),
        ("training", "Training", bool(content.curves or content.notes)),
        ("changes", "Changes", content.history is not None),
        ("provenance", "Provenance", True),
        ("glossary", "Glossary", True),
    ]
    return [(anchor, title) for anchor, title, shown in present if shown]


def dots(rate: Estimate, title: str) -> Markup:
    """A hundred dots for the errors of a rate, or nothing where it has no interval."""
    return Markup(hundred_dots(rate, str(escape(title))) or "")  # noqa: S704 - numbers and an escaped title


def jpeg(pixels: npt.NDArray[np.uint8]) -> str:
    """A thumbnail of uint8 (H, W, 3) RGB pixels as a JPEG data URI, at most 200 px a side."""
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    image.save(written, format="JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode("ascii")
