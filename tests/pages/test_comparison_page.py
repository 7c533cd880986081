"""The page of two models: what it says of many classes, of names that hold markup, and of few images."""

from dataclasses import replace
from html import unescape

import numpy as np
import pytest

from tasks.evaluation.comparison import compare
from tasks.evaluation.metrics import evaluate
from tasks.pages.comparison_page import (
    ComparedModel,
    ComparisonContent,
    Disagreement,
    render_comparison,
)

N = 60


def content(classes: list[str], positive: str | None) -> ComparisonContent:
    """Two models on 60 images in 30 groups, the second the better one."""
    rng = np.random.default_rng(0)
    labels = np.arange(N) % len(classes)
    groups = np.arange(N) // 2
    models = []
    for name, skill in (("<b>old</b>", 0.5), ("new", 3.0)):
        logits = rng.normal(size=(N, len(classes))) + skill * np.eye(len(classes))[labels]
        chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        guess = chance.argmax(axis=1)
        figures = evaluate(
            *(labels, chance, guess, groups, classes),
            positive_class=positive,
            protocol="holdout",
            resamples=400,
        )
        models.append(ComparedModel(name, f"/models/{name}", "fine-tune of x", figures, chance, guess))
    first, second = models
    comparison = compare(
        labels,
        (first.probabilities, first.predicted),
        (second.probabilities, second.predicted),
        groups,
        classes=classes,
        positive_class=positive,
        champion_version=first.name,
        resamples=400,
    )
    picture = Disagreement(
        "a/<i>.png", classes[0], np.zeros((8, 8, 3), np.uint8), [(classes[1], 0.25), (classes[0], 0.75)]
    )
    return ComparisonContent(
        created="now",
        dataset="x & y",
        images_url="/images",
        models=(first, second),
        labels=labels,
        comparison=comparison,
        recall_target=0.95,
        images=80,
        notes=("something to know",),
        only_right=((), (picture,)),
    )


def test_both_models_their_tests_and_disagreements_are_shown() -> None:
    said = content(["no", "yes"], "yes")
    html = render_comparison(said)
    assert html.count("<svg") == 3, "two confusion matrices, and both ROC curves in one figure"
    assert "<b>old</b>" not in html and "a/<i>.png" not in html
    text = unescape(html)
    assert "new tells the images apart better than <b>old</b> (AUC +" in text
    assert "less than 0.001 (DeLong's test)" in text
    assert "Something to know." in html
    assert "60 of the 80 usable images of x & y" in text
    only_new = said.comparison.only_challenger_right
    assert f"; {only_new - 1} more are not shown" in text
    assert "<h3>&lt;b&gt;old&lt;/b&gt; right, new wrong" in html and "<p>None.</p>" in html


def test_many_classes_have_no_threshold_and_no_delong() -> None:
    said = content(["a", "b", "c"], None)
    text = unescape(render_comparison(said))
    assert said.comparison.auc_p_value is None and "(DeLong's test)" not in text
    assert text.count("<svg") == 2 and "the likeliest class is named" in text
    assert "probability of the true class" in text


@pytest.mark.parametrize("n", [60, 80])
def test_what_was_left_out_is_said_only_where_there_is_any(n: int) -> None:
    text = render_comparison(replace(content(["no", "yes"], "yes"), images=n))
    assert ("was seen in training by every member" in text) == (n > 60)
