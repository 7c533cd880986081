"""The sample of a robustness check is nobody's choice, and its figures are those of the changed images."""

import numpy as np
import pandas as pd
import pytest

from flows.config import EvaluationSettings
from tasks.evaluation.robustness import after_change, sample_of_each_class
from tasks.training.recipes import PresetName


def test_the_sample_has_one_image_a_group_and_as_many_of_each_class_as_there_are() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "sha256": [f"{value:016x}" for value in rng.integers(0, 2**60, 300)],
            "group": [f"g{i // 2}" for i in range(300)],
            "label": ["yes" if i // 2 % 5 == 0 else "no" for i in range(300)],
        }
    )
    some = sample_of_each_class(frame, 40)
    assert len(some) == 40 and some["group"].is_unique
    assert some["label"].value_counts().to_dict() == {"yes": 20, "no": 20}
    shuffled = sample_of_each_class(frame.sample(frac=1, random_state=1), 40)
    assert some["sha256"].tolist() == shuffled["sha256"].tolist()
    every = sample_of_each_class(frame, 1000)
    assert len(every) == 150 and every["label"].value_counts()["yes"] == 30


def test_changed_answers_are_counted_against_the_unchanged() -> None:
    labels = np.array([1, 1, 0, 0])
    chance = np.array([0.9, 0.2, 0.1, 0.2])
    found = after_change(
        "blurred",
        labels,
        np.arange(4),
        (np.stack([1 - chance, chance], axis=1), np.array([1, 0, 0, 0])),
        np.array([1, 1, 0, 0]),
        ["no", "yes"],
        positive_class="yes",
        protocol="cross_validation",
    )
    assert found.recall.value == 0.5 and found.specificity.value == 1.0
    assert found.other_answer.value == 0.25 and found.other_answer.n == 4


@pytest.mark.parametrize(
    ("asked", "preset", "images"),
    [(None, "fast", 0), (None, "standard", 100), (0, "thorough", 0), (7, "fast", 7)],
)
def test_the_sample_is_as_asked_and_none_with_the_fast_preset(
    asked: int | None, preset: PresetName, images: int
) -> None:
    assert EvaluationSettings(robustness_images=asked).robustness_sample(preset) == images
