"""The model card: what a bundle is for, on whom it was tested and how it did, in Markdown (Mitchell et al. 2019)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tasks.data.flow import ImageFlow
from tasks.evaluation.intervals import Estimate
from tasks.evaluation.metrics import Evaluation
from tasks.evaluation.patients import PatientFacts
from tasks.evaluation.practice import InPractice
from tasks.evaluation.words import interval_or_reason, number
from tasks.models.about import AboutDataSet
from tasks.models.manifest import BundleManifest
from tasks.pages.clinical_words import count, how_believable, in_100, of_100, ratio
from tasks.pages.headline import PROTOCOLS, capitalized

_FIGURES = (
    ("recall", "Recall (sensitivity)"),
    ("specificity", "Specificity"),
    ("auc", "ROC AUC"),
    ("average_precision", "Average precision"),
    ("brier", "Brier score"),
)


@dataclass(frozen=True)
class CardContent:
    """What a card is made from: the record of a bundle, and what the report says too."""

    manifest: BundleManifest
    about: AboutDataSet
    flow: ImageFlow
    evaluation: Evaluation
    patients: PatientFacts
    per_patient: Evaluation | None
    practice: InPractice | None
    warnings: Sequence[str]


def model_card(content: CardContent) -> str:
    """The card, one Markdown page; what came with the data cannot end a line or a table's cell."""
    return "\n".join(line for section in _sections(content) for line in (*section, "")).rstrip() + "\n"


def _sections(content: CardContent) -> Iterable[Sequence[str]]:
    manifest, evaluation = content.manifest, content.evaluation
    yield [f"# Model card: {_plain(manifest.name)}"]
    yield ["For research and engineering. Not a medical device."]
    yield [
        "## Use and data",
        "",
        *_table(("what", "said by those who made the data set"), content.about.rows),
    ]
    yield ["## What was tested on what", "", *_flow(content.flow)]
    yield [
        "## How it was tested",
        "",
        f"{capitalized(PROTOCOLS[evaluation.protocol])}. {evaluation.n} images in {evaluation.n_groups} groups.",
        "",
        *(f"- {_plain(caution)}" for caution in (*content.patients.cautions, *content.warnings)),
    ]
    yield [
        "## Figures",
        "",
        f"Of {_plain(evaluation.figures_of)}, 95 % intervals.",
        "",
        *_figures(evaluation),
    ]
    if content.per_patient is not None:
        people = content.per_patient
        yield [f"### Per patient ({people.n} patients, one alarm on any image counts)", "", *_figures(people)]
    if content.practice is not None:
        yield ["## In practice", "", *_practice(content.practice, evaluation.n)]
    yield ["## The model", "", *_table(("what", "value"), _made(manifest))]


def _practice(practice: InPractice, n: int) -> list[str]:
    whose = "as stated for its use" if practice.stated else "as in the test; none was stated for its use"
    here = practice.here
    return [
        f"Where {in_100(practice.prevalence)} images have the finding ({whose}), images otherwise as here:",
        "",
        f"- missed findings in 1,000 images: {count(here.misses_per_1000)}",
        f"- false alarms in 1,000 images: {count(here.alarms_per_1000)}",
        f"- of 100 alarms, right: {of_100(here.ppv)}",
        f"- of 100 images without an alarm, clear: {of_100(here.npv)}",
        f"- likelihood ratio of an alarm {ratio(practice.likelihood_ratios.positive)}, "
        f"of no alarm {ratio(practice.likelihood_ratios.negative)}",
        "",
        how_believable(practice.calibration, n),
    ]


def _flow(flow: ImageFlow) -> list[str]:
    rows = [("found in the store", str(flow.images), _known(flow.patients))]
    rows += [
        (f"{'' if step.kept else 'left out: '}{step.what}", str(step.images), _known(step.patients))
        for step in flow.steps
    ]
    return _table(("images", "files", "patients"), rows)


def _figures(evaluation: Evaluation) -> list[str]:
    rows = []
    for field, title in _FIGURES:
        figure: Estimate = getattr(evaluation, field)
        rows.append((title, number(figure.value), interval_or_reason(figure), str(figure.n)))
    if len(evaluation.classes) > 2:
        rows += [
            (f"Recall of {c.name}", number(c.recall.value), interval_or_reason(c.recall), str(c.n))
            for c in evaluation.per_class
        ]
    return _table(("figure", "value", "95 % interval", "n"), rows)


def _made(manifest: BundleManifest) -> list[tuple[str, str]]:
    served = {
        "average": f"the mean of {len(manifest.members)} networks, one a held-out part of the images",
        "refit": "one network, trained again on all images; the figures are those of networks that held images out",
    }[manifest.served]
    threshold = "none" if manifest.threshold is None else f"{manifest.threshold:.4g}"
    return [
        ("Classes", ", ".join(manifest.classes)),
        ("Class that is looked for", manifest.positive_class or "none"),
        ("Called positive from", threshold),
        ("Served", served),
        ("Backbone", manifest.backbone),
        (
            "Pretrained weights",
            f"{manifest.weights.source} ({manifest.weights.licence or 'no licence stated'})",
        ),
        ("Image size", f"{manifest.preprocessing.size_px} px"),
        ("Data-set digest", manifest.dataset_digest),
        ("Code", manifest.git_commit or "not from a checkout"),
        ("Made", f"{manifest.created:%Y-%m-%d}"),
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{'|'.join('---' for _ in head)}|",
        *(f"| {' | '.join(_plain(cell) for cell in row)} |" for row in rows),
    ]


def _plain(text: str) -> str:
    """One line without what Markdown or HTML would take for its own."""
    escaped = " ".join(text.split()).replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;")
    for sign in "|`*_[]":
        escaped = escaped.replace(sign, f"\\{sign}")
    return escaped


def _known(number: int | None) -> str:
    return "unknown" if number is None else str(number)
