"""Patients: "independent" is never said unasked, and a patient counts once."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.evaluation.patients import (
    NO_PATIENT,
    PatientFacts,
    evaluate_patients,
    patient_facts,
    patient_numbers,
)


def facts(
    keys: list[str | None], *, declared: bool = False, sha256s: list[str] | None = None
) -> PatientFacts:
    contents = pd.Series(sha256s or [f"content {i}" for i in range(len(keys))])
    return patient_facts(contents, patient_numbers(pd.Series(keys, dtype=object)), declared=declared)


def test_keys_are_told_apart_as_people_mean_them() -> None:
    numbers = patient_numbers(pd.Series(["P1", " p1", None, "p2 ", "P2", "", float("nan")], dtype=object))
    assert numbers.tolist() == [0, 0, NO_PATIENT, 1, 1, NO_PATIENT, NO_PATIENT]


def test_without_a_key_the_first_thing_said_is_that_figures_may_be_too_good() -> None:
    found = facts([None] * 30)
    assert (found.known, found.patients, found.with_key) == ("unknown", 0, 0)
    assert found.cautions[0].startswith("Patients unknown, only groups of copies are kept apart")
    assert "far too good" in found.cautions[0] and "one_image_a_patient" in found.cautions[0]


def test_a_key_for_some_images_only_is_no_key() -> None:
    found = facts(["a", "a", None, "b"])
    assert found.known == "unknown"
    assert found.cautions[0].startswith("Patients are known of 3 of 4 images only")


def test_a_key_that_groups_images_needs_no_caution() -> None:
    found = facts([f"p{i // 3}" for i in range(60)])
    assert (found.known, found.patients, found.with_several_images, found.cautions) == ("key", 20, 20, ())


def test_copies_of_one_image_are_not_several_images() -> None:
    found = facts(["a", "a", "b"], sha256s=["x", "x", "y"], declared=True)
    assert (found.known, found.with_several_images, found.cautions) == ("declared", 0, ())


@pytest.mark.parametrize(
    ("n", "doubles", "declared", "doubted"),
    [
        (60, 0, False, True),
        (60, 3, False, True),
        (60, 6, False, False),
        (60, 0, True, False),
        (15, 0, False, False),
    ],
)
def test_a_key_that_is_nearly_unique_is_doubted(n: int, doubles: int, declared: bool, doubted: bool) -> None:
    keys: list[str | None] = [f"p{max(i, doubles)}" for i in range(n)]
    assert any("nearly unique" in caution for caution in facts(keys, declared=declared).cautions) == doubted


def test_a_declaration_that_the_keys_contradict_is_told_and_does_not_count() -> None:
    found = facts(["a", "a", "b"], declared=True)
    assert found.known == "key" and found.cautions[0].endswith("The keys count.")
    in_part = facts(["a", "a", None], declared=True)
    assert in_part.known == "unknown" and len(in_part.cautions) == 2


def evaluated(patients: list[int], positive: list[int], probability: list[float], *, threshold: float = 0.5):  # type: ignore[no-untyped-def]
    chance = np.array(probability)
    return evaluate_patients(
        np.array(patients),
        np.array(positive, dtype=bool),
        chance,
        chance >= threshold,
        np.array(patients),
        finding="tumour",
        protocol="cross_validation",
    )


def test_a_patient_is_found_if_any_image_is() -> None:
    found = evaluated([0, 0, 1, 1, 2, 2, 3], [0, 1, 1, 1, 0, 0, 0], [0.1, 0.9, 0.2, 0.3, 0.1, 0.6, 0.2])
    assert found is not None and found.n == 4
    assert found.recall.value == 0.5 and found.specificity.value == 0.5
    assert found.confusion_matrix == [[1, 1], [1, 1]]
    assert found.auc.value == 0.75  # of the greatest probabilities .9 and .3 against .6 and .2


def test_an_alarm_on_another_image_of_a_patient_with_the_finding_counts_as_found() -> None:
    found = evaluated([0, 0, 1, 1], [0, 1, 0, 0], [0.9, 0.1, 0.2, 0.1])
    assert found is not None and found.recall.value == 1.0


def test_images_without_a_key_stay_out_and_single_images_say_nothing_new() -> None:
    found = evaluated([0, 0, 1, 1, NO_PATIENT], [1, 1, 0, 0, 1], [0.9, 0.9, 0.1, 0.1, 0.1])
    assert found is not None and (found.n, found.recall.value) == (2, 1.0)
    assert evaluated([0, 1, 2], [1, 0, 0], [0.9, 0.1, 0.1]) is None
    assert evaluated([0, 0, 1, 1], [1, 1, 1, 1], [0.9, 0.9, 0.1, 0.1]) is None


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans(), st.floats(0, 1)), min_size=4, max_size=60))
def test_per_patient_recall_is_never_below_that_of_the_worst_image(
    rows: list[tuple[int, bool, float]],
) -> None:
    found = evaluated([r[0] for r in rows], [int(r[1]) for r in rows], [r[2] for r in rows])
    if found is None:
        return
    people = {p for p, _, _ in rows}
    with_finding = {p for p, positive, _ in rows if positive}
    alarmed = {p for p, _, chance in rows if chance >= 0.5}
    assert found.n == len(people)
    assert found.recall.value == pytest.approx(len(with_finding & alarmed) / len(with_finding))
    others = people - with_finding
    assert found.specificity.value == pytest.approx(len(others - alarmed) / len(others))
