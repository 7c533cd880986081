"""Second looks stand beside the headline, say why they flatter, and appear only where there is something to see."""

import numpy as np
import pandas as pd
from support.samples.leaking_split import LEAK

from tasks.data.given_split import Leak
from tasks.evaluation.metrics import Evaluation, evaluate
from tasks.pages.content import EvaluatedPredictions, SecondLook
from tasks.pages.second_looks import without_chosen, without_leaks, without_suspects

LABELS = np.arange(40) % 2
# The first four images are predicted wrongly.
CHANCE = np.where(np.arange(40) < 4, 1 - LABELS, LABELS) * 0.8 + 0.1
ROWS = EvaluatedPredictions(
    LABELS, np.stack([1 - CHANCE, CHANCE], axis=1), (CHANCE > 0.5).astype(np.int64), np.arange(40)
)
PREDICTIONS = pd.DataFrame(
    {"path": [f"{i}.png" for i in range(40)], "sha256": [f"{i:064x}" for i in range(40)]}
)


def _evaluation() -> Evaluation:
    return evaluate(
        ROWS.labels,
        ROWS.probabilities,
        ROWS.predicted,
        ROWS.groups,
        ["no", "yes"],
        positive_class="yes",
        protocol="given_split",
        resamples=50,
    )


def _looks(leak: Leak | None, suspects: pd.DataFrame) -> list[SecondLook]:
    figures = _evaluation()
    return [
        *without_leaks(leak, figures if leak else None),
        *without_suspects(figures, PREDICTIONS, ROWS, suspects),
    ]


def _suspects(*numbers: int) -> pd.DataFrame:
    return PREDICTIONS.iloc[list(numbers)]


def test_without_suspects_and_leaks_there_is_no_second_look() -> None:
    assert _looks(None, _suspects()) == []
    none = LEAK.model_copy(update={"test_files_with_copies": 0})
    assert _looks(none, _suspects()) == []


def test_figures_without_suspects_cover_the_others_and_say_that_they_flatter() -> None:
    (look,) = _looks(None, _suspects(0, 1, 2))
    assert look.evaluation.n == 37 and look.evaluation.accuracy.value == 36 / 37
    assert "without the 3 images" in look.why and "always flatters" in look.why
    assert _evaluation().accuracy.value == 36 / 40, "the headline keeps them"


def test_a_class_that_is_suspect_as_a_whole_leaves_nothing_to_compare() -> None:
    every_yes = _suspects(*range(1, 40, 2))
    assert _looks(None, every_yes) == []


def test_a_leaking_split_is_told_in_words() -> None:
    (look,) = _looks(LEAK, _suspects())
    assert "20 of the 54 test files" in look.why and "11 distinct images stand on both sides" in look.why
    assert "did not learn from the 30 training files" in look.why


def test_figures_without_labels_that_the_machine_had_a_say_in_stand_beside_the_headline() -> None:
    chosen, confirmed = PREDICTIONS["sha256"][:3], PREDICTIONS["sha256"][10:14]
    first, second = without_chosen(_evaluation(), PREDICTIONS, ROWS, frozenset(chosen), frozenset(confirmed))
    assert (first.evaluation.n, second.evaluation.n) == (37, 36)
    assert first.evaluation.accuracy.value == 36 / 37 and "speak for no population" in first.why
    assert list(without_chosen(_evaluation(), PREDICTIONS, ROWS, frozenset(), frozenset())) == []
