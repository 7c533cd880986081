"""What is promised of a threshold is kept as often as is said, and dear recall is told."""

import numpy as np
import pytest

from tasks.evaluation.operating_rule import JudgedImages, choose_rule
from tasks.evaluation.promise import operating_facts, recall_promise
from tasks.evaluation.settings import ThresholdRule


def _promise(n: int, missed: int) -> tuple[float, int | None]:
    found = recall_promise(np.ones(n, dtype=bool), np.arange(n) < missed, np.ones(n), 0.95)
    return found.at_least, found.may_miss


def test_a_promise_takes_45_positive_images() -> None:
    assert _promise(44, 0)[1] is None and _promise(45, 0)[1] == 0
    assert _promise(45, 0)[0] >= 0.95 > _promise(44, 0)[0]
    assert recall_promise(np.ones(20, dtype=bool), np.zeros(20, dtype=bool), np.ones(20), 0.95).needed == 45
    assert _promise(3, 3)[0] == 0


def test_the_promise_is_kept_nine_times_in_ten() -> None:
    rng = np.random.default_rng(0)
    for recall in (0.9, 0.95, 0.98):
        missed, often = np.unique(rng.binomial(155, 1 - recall, 4000), return_counts=True)
        kept = np.array([_promise(155, int(k))[0] <= recall for k in missed])
        assert often[kept].sum() / 4000 >= 0.9


def test_copies_promise_nothing_more() -> None:
    below = np.repeat([True, False], [3, 57])
    once = recall_promise(np.ones(60, dtype=bool), below, np.ones(60), 0.95)
    thrice = recall_promise(np.ones(180, dtype=bool), np.repeat(below, 3), np.full(180, 1 / 3), 0.95)
    assert once == thrice


@pytest.mark.parametrize(("insist", "says"), [(False, "stops before"), (True, "would spare most")])
def test_dear_recall_is_told(insist: bool, says: str) -> None:
    rng = np.random.default_rng(1)
    hard = np.arange(150) < 12
    score = np.r_[
        np.where(hard, rng.normal(-2.5, 0.8, 150), rng.normal(3, 1.2, 150)), rng.normal(-2.5, 0.8, 100)
    ]
    logits = np.stack([np.zeros(250), score], axis=1)
    images = JudgedImages((np.arange(250) < 150).astype(np.int64), logits, np.ones((250, 1)), np.arange(250))
    rule = ThresholdRule(insist_on_target=insist)
    facts = operating_facts(images, choose_rule(images, 1, rule), 1, rule)
    assert facts.last_recall is not None and facts.last_recall.is_steep
    assert facts.last_recall.stopped_short is not insist
    assert any(says in caution for caution in facts.cautions)


def test_few_positive_images_are_a_caution() -> None:
    rng = np.random.default_rng(2)
    score = np.r_[rng.normal(4, 1, 20), rng.normal(-4, 1, 60)]
    images = JudgedImages(
        (np.arange(80) < 20).astype(np.int64),
        np.stack([np.zeros(80), score], axis=1),
        np.ones((80, 1)),
        np.arange(80),
    )
    facts = operating_facts(images, choose_rule(images, 1, ThresholdRule()), 1, ThresholdRule())
    assert any("takes at least 45 positive images" in caution for caution in facts.cautions)
