"""The report: self-contained, escaped, right in its first sentences, with only the sections that have content."""

import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from support.samples.leaking_split import LEAK

from tasks.data.flow import FlowStep, ImageFlow
from tasks.evaluation.balance import class_balance
from tasks.evaluation.comparison import compare
from tasks.evaluation.gate import decide
from tasks.evaluation.intervals import Estimate
from tasks.evaluation.metrics import Protocol, evaluate
from tasks.evaluation.patients import (
    NO_PATIENT,
    PatientFacts,
    evaluate_patients,
    patient_facts,
    patient_numbers,
)
from tasks.evaluation.practice import in_practice
from tasks.evaluation.robustness import after_change
from tasks.evaluation.settings import GateSettings
from tasks.evaluation.shortcuts import Shortcut
from tasks.evaluation.subgroups import subgroups
from tasks.models.about import AboutDataSet
from tasks.pages import clinical_words
from tasks.pages import report_page as page
from tasks.pages.changes import Change
from tasks.pages.content import (
    CopyGroup,
    DataSetFacts,
    EvaluatedPredictions,
    Finding,
    History,
    Picture,
    Reject,
    ReportContent,
    SecondLook,
    Serving,
)
from tasks.pages.headline import comparison_words, headline

EVIL = "<script>alert('x')</script>&\"'"
_VOID = {"meta", "br", "img"}


class _Reader(HTMLParser):
    """Collects tags, ids and attributes, and checks that tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag


def _read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html)
    assert reader.open == []
    return reader


def _content(
    classes: list[str],
    positive: str | None,
    *,
    n: int = 120,
    protocol: Protocol = "cross_validation",
    prevalence: float | None = None,
) -> ReportContent:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, len(classes), n)
    chance = softmax(rng.normal(size=(n, len(classes))) + 2 * np.eye(len(classes))[labels], axis=1)
    predicted, groups = chance.argmax(axis=1), rng.integers(0, n - 20, n)
    evaluation = evaluate(
        labels, chance, predicted, groups, classes, positive_class=positive, protocol=protocol, resamples=100
    )
    is_positive = labels == (classes.index(positive) if positive else -1)
    practice = (
        in_practice(
            is_positive,
            chance[:, classes.index(positive)],
            groups,
            evaluation.recall,
            evaluation.specificity,
            prevalence=prevalence,
            facts=np.where(is_positive, 0.6, 0.4),
        )
        if positive
        else None
    )
    return ReportContent(
        practice=practice,
        created="2031-03-04 10:12 UTC",
        evaluation=evaluation,
        patients=_patients(n, declared=True),
        predictions=EvaluatedPredictions(labels, chance, predicted, groups),
        decision=decide(evaluation, None, GateSettings(min_recall=0.2, min_specificity=0)),
        serving=Serving(
            "3", None, "average", 5, "members", 0.5 if positive else None, 1.2, "memory://bundle"
        ),
        dataset=DataSetFacts(
            "slices", "memory://images", "ab" * 32, n, n - 20, 7, 0, 0, dict.fromkeys(classes, 60)
        ),
        provenance={"Seed": "0"},
        seconds={"ingest": 1.5, "train": 20.0},
    )


def _patients(n: int, *, keys: list[str] | None = None, declared: bool = False) -> PatientFacts:
    numbers = np.full(n, NO_PATIENT) if keys is None else patient_numbers(pd.Series(keys))
    return patient_facts(pd.Series([str(i) for i in range(n)]), numbers, declared=declared)


def _picture(path: str, side: int = 400) -> Picture:
    pixels = np.random.default_rng(0).integers(0, 255, (side, side // 2, 3), dtype=np.uint8)
    return Picture(path, EVIL, pixels, EVIL, 0.97, EVIL, pixels)


def _full(text: str) -> ReportContent:
    """Every section, with `text` wherever text comes from the data."""
    base = _content(["no", text], text)
    predictions = base.predictions
    side = (predictions.probabilities, predictions.predicted)
    return replace(
        base,
        dataset=replace(base.dataset, name=text, url=text, digest=text),
        serving=replace(base.serving, version=text, bundle_uri=text, champion_version=text),
        provenance={text: text},
        seconds={text: 1.0},
        patients=base.patients.model_copy(update={"known": "key", "cautions": (text,)}),
        robustness=[
            after_change(
                text,
                predictions.labels,
                predictions.groups,
                side,
                predictions.predicted,
                ["no", text],
                positive_class=text,
                protocol="cross_validation",
            )
        ],
        per_patient=base.evaluation,
        subgroups=subgroups(
            {text: (pd.Series([text, "other"] * 60), False)},
            predictions.labels == predictions.predicted,
            predictions.groups,
            positive=predictions.labels == 1,
            scores=predictions.probabilities[:, 1],
        ),
        about=AboutDataSet(intended_use=text, contact=text),
        flow=ImageFlow(
            images=9,
            patients=3,
            steps=(FlowStep(what=text, kept=False, images=9, patients=3, by_class={text: 9}),),
        ),
        worst_errors=[_picture(text)] * 12,
        surest_hits=[_picture(text)] * 6,
        explained=text,
        copies=[CopyGroup([_picture(text)] * 6, text)] * 12,
        likely_copies=[CopyGroup([_picture(text)] * 2)] * 2,
        copy_questions=5,
        copy_groups=15,
        rejects=[Reject(text, text, text)] * 150,
        suspects=[_picture(text)] * 24,
        suspect_groups=30,
        notes=[text],
        balance=class_balance(pd.Series([text, text, "no"]), pd.Series([text, text, "b"])),
        shortcuts=[Shortcut(fact=text, auc=Estimate(value=0.76, lower=0.7, upper=0.8, n=120), warning=text)],
        second_looks=[SecondLook(text, text, base.evaluation)],
        comparison=compare(
            predictions.labels,
            side,
            side,
            predictions.groups,
            classes=["no", text],
            positive_class=text,
            champion_version=text,
            resamples=50,
        ),
        history=History(text, text, [Change(text, text, text)]),
        finding=Finding(text, text),
    )


def test_everything_from_the_data_is_escaped() -> None:
    html = page.render_page(_full(EVIL))
    reader = _read(html)
    assert "script" not in {tag for tag, _ in reader.tags}
    assert "<script" not in html.lower() and "&lt;script&gt;" in html
    # Quotes in data end no attribute: no tag carries one that the template does not write.
    known = {"alt", "class", "src", "id", "href", "style", "scope", "lang", "charset", "name", "content"}
    known |= {"http-equiv", "aria-label"}
    outside_figures = re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL)
    assert {name for _, attributes in _read(outside_figures).tags for name in attributes} <= known


def test_the_page_needs_no_network_and_runs_no_code() -> None:
    reader = _read(page.render_page(_full("yes")))
    tags = {tag for tag, _ in reader.tags}
    assert tags.isdisjoint({"script", "link", "iframe", "object", "embed", "form", "base"})
    for _, attributes in reader.tags:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/"))
        assert not [name for name in attributes if name.startswith("on")]
    policies = [a["content"] for tag, a in reader.tags if tag == "meta" and "http-equiv" in a]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_ids_are_unique_and_every_anchor_leads_somewhere() -> None:
    for content in (_full("yes"), _content(["a", "b", "c"], None)):
        reader = _read(page.render_page(content))
        ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
        anchors = [a["href"] or "" for tag, a in reader.tags if tag == "a"]
        assert len(ids) == len(set(ids))
        assert anchors and {anchor[1:] for anchor in anchors} <= set(ids)
        sections = [a["id"] for tag, a in reader.tags if tag == "section"]
        assert [anchor[1:] for anchor in anchors[-len(sections) :]] == sections, "the navigation"


def test_sections_without_content_do_not_appear() -> None:
    bare, full = page.render_page(_content(["no", "yes"], "yes")), page.render_page(_full("yes"))
    optional = ("second-looks", "champion", "errors", "suspects", "shortcuts", "changes")
    for anchor in optional:
        assert f'id="{anchor}"' not in bare and f'id="{anchor}"' in full
    assert "Rejected files" not in bare and "Near copies" not in bare and "careful about" not in bare
    for anchor in ("figures", "threshold", "calibration", "data", "provenance", "glossary"):
        assert f'id="{anchor}"' in bare


def test_long_lists_are_cut_and_say_so() -> None:
    html = page.render_page(_full("yes"))
    assert "50 more are not shown" in html and "6 more are not shown" in html
    assert "3 more groups are not shown" in html
    pictures = 12 + 6 + 24 + 12 * 6 + 2 * 2
    assert html.count("<img ") == 2 * pictures


def test_the_first_screen_says_what_a_clinician_must_know() -> None:
    content = _content(["no", "yes"], "yes")
    counts = content.evaluation.confusion_matrix
    words = headline(replace(content, finding=Finding("tumour", "tumours")))
    assert words.misses == f"{counts[1][0]} of {sum(counts[1])} tumours would be missed"
    assert words.alarms == f"{counts[0][1]} of {sum(counts[0])} other images would raise a false alarm"
    recall = content.evaluation.recall
    assert recall.value is not None and recall.lower is not None and recall.upper is not None
    assert words.misses_sure.startswith(f"about {100 * (1 - recall.value):.0f} in 100 tumours; with 95")
    assert words.misses_sure.endswith(
        f"{100 * (1 - recall.upper):.0f} and {100 * (1 - recall.lower):.0f} in 100"
    )
    assert words.tested.startswith("120 images")
    assert f"{content.evaluation.n_groups} groups of copies; no patient twice, as declared" in words.tested
    html = page.render_page(content)
    assert words.misses.split(" would")[1] in html and html.index("would be missed") < html.index("<nav")
    assert "“yes” images would be missed" in html


def test_where_patients_are_unknown_that_is_the_first_caution_and_nothing_is_called_independent() -> None:
    base = _content(["no", "yes"], "yes")
    found = Estimate(value=0.76, lower=0.7, upper=0.8, n=120)
    content = replace(
        base,
        patients=_patients(120),
        shortcuts=[Shortcut(fact="aspect ratio", auc=found, warning="w")],
    )
    words = headline(content)
    assert words.tested.endswith("groups of copies, patients unknown)")
    assert words.cautions[0].words.startswith("Patients unknown, only groups of copies are kept apart")
    assert "may be far too good" in words.cautions[0].words and words.cautions[0].anchor == "patients"
    html = page.render_page(content)
    assert "independent" not in html
    assert html.index("may be far too good") < html.index("<nav")


def test_with_a_key_figures_stand_per_patient_beside_those_per_image() -> None:
    base = _content(["no", "yes"], "yes")
    keys = [f"p{i // 3}" for i in range(120)]
    positive = base.predictions.labels == 1
    people = evaluate_patients(
        patient_numbers(pd.Series(keys)),
        positive,
        base.predictions.probabilities[:, 1],
        base.predictions.predicted == 1,
        np.array(keys),
        finding="yes",
        protocol="cross_validation",
    )
    assert people is not None
    content = replace(base, patients=_patients(120, keys=keys), per_patient=people)
    assert headline(content).tested.endswith("groups of patients and copies)")
    assert headline(content).cautions == []
    html = page.render_page(content)
    section = html[html.index('id="patients"') : html.index('id="calibration"')]
    assert "40 patients, " in section and "40 keys for 120 images" in section
    assert people.recall.value is not None and f"{100 * people.recall.value:.1f}" in section


def test_a_stated_prevalence_leads_to_right_alarms_on_the_first_screen_and_in_practice() -> None:
    content = _content(["no", "yes"], "yes", prevalence=0.02)
    assert content.practice is not None
    ppv = content.practice.here.ppv
    assert ppv.value is not None
    html = page.render_page(content)
    said = (
        f"Where 2 in 100 images have the finding, of 100 alarms {clinical_words.of_100(ppv)} would be right."
    )
    assert headline(content).right_alarms == said and html.index(said) < html.index("<nav")
    section = html[html.index('id="practice"') : html.index('id="patients"')]
    assert "stated that 2 in 100 images will have the finding" in section
    assert section.count('<tr class="marked">') == 1
    assert "What a probability of the model comes to where 2 in 100" in section


def test_an_unstated_prevalence_is_that_of_the_images_and_said_to_be_so() -> None:
    content = _content(["no", "yes"], "yes")
    assert content.practice is not None and headline(content).right_alarms == ""
    html = page.render_page(content)
    assert "Nobody stated how common the finding is" in html and "would be right" not in html
    shares = [row.prevalence for row in (content.practice.here, *content.practice.elsewhere)]
    assert sorted(shares) == sorted({0.01, 0.05, 0.2, content.practice.of_images})
    assert "What a probability of the model comes to" not in html


def test_calibration_is_told_in_words_with_what_would_be_right() -> None:
    content = _content(["no", "yes"], "yes")
    assert content.practice is not None
    figures = content.practice.calibration
    html = page.render_page(content)
    section = html[html.index('id="calibration"') : html.index('id="data"')]
    assert "promise" in section and f"{figures.ece_by_chance:.3f} by chance alone" in section
    assert "1; 0 is no better than always saying the prevalence" in section
    assert "Not a figure to decide by" in html[html.index('id="figures"') : html.index('id="practice"')]


def test_subgroups_say_what_was_asked_and_whether_chance_explains_it() -> None:
    base = _content(["a", "b", "c"], None)
    right = base.predictions.labels == base.predictions.predicted
    site = pd.Series(np.where(right, "near", "far").tolist())
    content = replace(base, subgroups=subgroups({"site": (site, False)}, right, base.predictions.groups))
    html = page.render_page(content)
    section = html[html.index('id="subgroups"') : html.index('id="calibration"')]
    assert "what the table of labels says" in section and "it does not do equally well" in section
    own = replace(base, subgroups=subgroups({"grey": (site, True)}, right, base.predictions.groups))
    assert "nothing is known of sites, scanners, sex or age" in page.render_page(own)
    assert 'id="subgroups"' not in page.render_page(base)


@pytest.mark.parametrize(
    ("verdict_bar", "champion", "expected"),
    [
        (0.2, None, "Version 3, the model of this run, is served from now on; no model was served before."),
        (1.0, None, "No model is served"),
        (1.0, "2", "Version 2 stays in service"),
    ],
)
def test_what_is_served_now(verdict_bar: float, champion: str | None, expected: str) -> None:
    base = _content(["no", "yes"], "yes")
    content = replace(
        base,
        decision=decide(base.evaluation, None, GateSettings(min_recall=verdict_bar, min_specificity=0)),
        serving=replace(base.serving, champion_version=champion),
    )
    html = page.render_page(content)
    assert expected in html
    for reason in content.decision.reasons:
        assert reason[1:] in html


@pytest.mark.parametrize(
    ("kind", "figures_of", "expected"),
    [
        ("average", "members", "is the average of 5 members. It has seen every image here"),
        ("refit", "members", "is a refit: trained once more"),
        ("average", "served", "The figures are its own, on images that it never saw"),
    ],
)
def test_whose_figures_these_are(
    kind: Literal["average", "refit"], figures_of: Literal["members", "served"], expected: str
) -> None:
    base = _content(["no", "yes"], "yes")
    html = page.render_page(replace(base, serving=replace(base.serving, kind=kind, figures_of=figures_of)))
    assert expected in html
    assert ("it cannot be tested on them" in html) == (figures_of == "members")


def test_many_classes_have_their_own_first_screen_and_table() -> None:
    content = _content(["a", "b", "c", "d"], None)
    html = page.render_page(content)
    wrong = sum(sum(row) for row in content.evaluation.confusion_matrix) - sum(
        content.evaluation.confusion_matrix[i][i] for i in range(4)
    )
    assert f"{wrong} of 120 images would be given the wrong class" in html
    assert "Each class against the rest" in html and 'id="threshold"' not in html


def test_of_hundreds_of_classes_the_hardest_are_shown() -> None:
    content = _content([f"c{i}" for i in range(60)], None, n=600)
    assert len(page.hardest_classes(content.evaluation)) == page.MOST_CLASSES
    assert "The 30 classes of lowest recall" in page.render_page(content)


def test_worst_errors_are_the_surest_ones() -> None:
    predictions = EvaluatedPredictions(
        np.array([0, 1, 1, 0]),
        np.array([[0.9, 0.1], [0.6, 0.4], [0.99, 0.01], [0.3, 0.7]]),
        np.array([0, 0, 0, 1]),
        np.arange(4),
    )
    assert predictions.worst(9).tolist() == [2, 3, 1]
    assert predictions.worst(1).tolist() == [2]
    assert replace(predictions, groups=np.array([0, 1, 1, 2])).worst(9).tolist() == [2, 3]
    assert predictions.surest(9, None).tolist() == [0] and predictions.surest(9, 1).tolist() == []


def test_the_served_threshold_stands_once_in_the_trade_off() -> None:
    content = _content(["no", "yes"], "yes")
    points = page.operating_points(content)
    assert [p.threshold for p in points].count(0.5) == 1
    assert [p.threshold for p in points] == sorted((p.threshold for p in points), reverse=True)
    html = page.render_page(content)
    assert html.count("(served)") == 1
    row = html[html.index("(served)") :].partition("</tr>")[0]
    assert " to " not in row and row.count("chosen on these") == 3, (
        "no interval where the threshold was chosen"
    )


def test_a_full_page_is_made_within_seconds_and_stays_small() -> None:
    start = time.process_time()
    html = page.render_page(_content(["no", "yes"], "yes", n=253))
    assert time.process_time() - start < 10
    assert len(html.encode()) < 400_000


def test_cautions_stand_on_the_first_screen_with_a_way_to_more() -> None:
    base = _content(["no", "yes"], "yes")
    found = Estimate(value=0.76, lower=0.7, upper=0.8, n=120)
    content = replace(
        base,
        shortcuts=[
            Shortcut(fact="all of these together", auc=found, warning="w"),
            Shortcut(fact="aspect ratio", auc=found, warning="w"),
            Shortcut(fact="file format", auc=Estimate(value=0.5, lower=0.4, upper=0.6, n=120)),
        ],
        suspect_groups=3,
        suspects=[_picture("p")],
        leak=LEAK,
        balance=class_balance(pd.Series(["no"] * 40 + ["yes"] * 2), pd.Series([str(i) for i in range(42)])),
    )
    words = [caution.words for caution in headline(content).cautions]
    assert (
        "without a look at the finding: aspect ratio (AUC 0.76), all of these together (AUC 0.76)."
        in words[0]
    )
    assert "file format" not in words[0]
    assert any("yes (2)" in word for word in words)
    assert words[-2].startswith("20 of the 54 test images have a copy") and words[-1].startswith(
        "3 images (copies counted once) may be"
    )
    html = page.render_page(content)
    assert html.index("may be labelled wrongly") < html.index("<nav")
    assert headline(base).cautions == [] and "careful about" not in page.render_page(base)


def test_the_dots_stand_for_a_hundred_images() -> None:
    rate = Estimate(value=0.88, lower=0.81, upper=0.93, n=155)
    svg = page.dots(rate, EVIL)
    assert [svg.count(f'class="{kind}"') for kind in ("wrong", "unsure", "right")] == [12, 7, 81]
    assert "<script" not in svg
    assert page.dots(Estimate(value=None, n=0, reason="none"), "") == ""


@pytest.mark.parametrize(
    ("shift", "words"), [(2.0, "This model tells"), (-2.0, "Version 7 tells"), (0.0, "Neither")]
)
def test_who_wins_is_said_in_words(shift: float, words: str) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300)
    noise = rng.normal(size=300)

    def side(sureness: float) -> tuple[np.ndarray, np.ndarray]:
        chance = 1 / (1 + np.exp(-(sureness * (2 * labels - 1) + noise)))
        return np.stack([1 - chance, chance], axis=1), (chance > 0.5).astype(int)

    found = compare(
        labels,
        side(0.6 + max(-shift, 0)),
        side(0.6 + max(shift, 0)),
        np.arange(300),
        classes=["no", "yes"],
        positive_class="yes",
        champion_version="7",
        resamples=200,
    )
    assert comparison_words(found).startswith(words)
    html = page.render_page(replace(_content(["no", "yes"], "yes"), comparison=found))
    assert words in html
    section = html[html.index('id="champion"') : html.index('id="threshold"')]
    assert found.net_benefit is not None and "champion (7)" in found.net_benefit.others
    assert "champion (7)" in section and "Both models on their common images" in section
