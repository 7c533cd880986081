"""Patients: whether it is known who is on which image, and the figures of whole patients where it is.

Images of one patient are alike. Where nobody says which belong together, some may teach a model and others test it: on
slices of MR volumes such a split made accuracy look 29 to 55 points better than it was (Yagis et al. 2021,
doi:10.1038/s41598-021-01681-w).
"""

from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from tasks.data.patient_key import folded_key
from tasks.data.settings import Protocol
from tasks.evaluation.intervals import Floats, Ints
from tasks.evaluation.metrics import Evaluation, evaluate
from tasks.record import Frozen

NEARLY_UNIQUE: Final = 0.95
"""Keys for one image from which on a key is doubted: it may number images or studies. A guess, and only a warning."""

FEWEST_DOUBTED: Final = 20
"""Images below which a nearly unique key is no surprise."""

NO_PATIENT: Final = -1


class PatientFacts(Frozen):
    """What is known of who is on the images."""

    known: Literal["key", "declared", "unknown"] = Field(
        description="key: every image has a patient's key. declared: a person said that no patient has two images. "
        "unknown: neither, so that images of one patient may stand on both sides of training and test."
    )
    images: int = Field(ge=0, description="Usable images.")
    with_key: int = Field(ge=0, description="Of these, images with a key.")
    patients: int = Field(ge=0, description="Different keys.")
    with_several_images: int = Field(ge=0, description="Keys that stand at several different images.")
    cautions: tuple[str, ...] = Field(description="What a reader must know of it, in sentences.")


def patient_numbers(keys: "pd.Series[str]") -> Ints:
    """Number the patients of the keys (n,), in the order in which they come: int64 (n,), NO_PATIENT without a key."""
    folded = keys.map(folded_key, na_action="ignore")
    return np.asarray(pd.factorize(folded.mask(folded == ""))[0], dtype=np.int64)


def patient_facts(sha256s: "pd.Series[str]", patients: Ints, *, declared: bool) -> PatientFacts:
    """What is known: `sha256s` and `patients` (n,) of the usable files; `declared`: no patient has two images."""
    has_key = patients != NO_PATIENT
    keyed = pd.DataFrame({"patient": patients, "sha256": sha256s.to_numpy()})[has_key]
    contents = keyed.drop_duplicates()["patient"].value_counts()
    several = int((contents > 1).sum())
    n, n_keyed, n_patients = patients.size, int(has_key.sum()), len(contents)
    known: Literal["key", "declared", "unknown"] = "unknown"
    if declared and not several:
        known = "declared"
    elif n and n_keyed == n:
        known = "key"
    return PatientFacts(
        known=known,
        images=n,
        with_key=n_keyed,
        patients=n_patients,
        with_several_images=several,
        cautions=tuple(
            _cautions(known, n, n_keyed, n_patients, several, int(contents.sum()), declared=declared)
        ),
    )


def _cautions(
    known: str, n: int, n_keyed: int, n_patients: int, several: int, contents: int, *, declared: bool
) -> list[str]:
    found = []
    if known == "unknown":
        some = f"Patients are known of {n_keyed} of {n} images only" if n_keyed else "Patients unknown"
        found.append(
            f"{some}, only groups of copies are kept apart: the figures may be far too good. If a patient has several "
            "images here, some of them may have taught the model that is tested on the others. Give a patient's key "
            "with each image (column group of the table), or declare that no patient has two images "
            "(one_image_a_patient)."
        )
    if declared and several:
        found.append(
            f"It was declared that no patient has two images, but {_counted(several, 'key')} of the column group "
            f"{'stands' if several == 1 else 'stand'} at several different images. The keys count."
        )
    if known == "key" and contents >= FEWEST_DOUBTED and n_patients >= NEARLY_UNIQUE * contents:
        found.append(
            f"The patient's key is nearly unique: {n_patients} keys for {contents} different images. If it numbers "
            "images, studies or series instead of people, images of one patient are not kept apart and the figures "
            "may be far too good. If there truly is one image a patient, declare it (one_image_a_patient)."
        )
    return found


def evaluate_patients(
    patients: Ints,
    positive: npt.NDArray[np.bool_],
    probabilities: Floats,
    predicted: npt.NDArray[np.bool_],
    groups: npt.ArrayLike,
    *,
    finding: str,
    protocol: Protocol,
) -> Evaluation | None:
    """Figures of whole patients: one is positive, in truth or by the model, if any of the images is.

    All arguments (n,), a row an image: patients as numbered by `patient_numbers`, `positive` and `predicted` flags, and
    `probabilities` of the finding, of which a patient's greatest counts. None where no two images are of one patient,
    or patients of one kind only are left.
    """
    frame = pd.DataFrame(
        {
            "patient": patients,
            "positive": positive,
            "probability": probabilities,
            "predicted": predicted,
            "group": np.asarray(groups),
        }
    )
    frame = frame[frame["patient"] != NO_PATIENT]
    people = frame.groupby("patient").agg(
        positive=("positive", "max"),
        probability=("probability", "max"),
        predicted=("predicted", "max"),
        group=("group", "first"),
    )
    if len(people) == len(frame) or people["positive"].nunique() < 2:
        return None
    chance = people["probability"].to_numpy(np.float64)
    return evaluate(
        people["positive"].to_numpy(np.int64),
        np.stack([1 - chance, chance], axis=1),
        people["predicted"].to_numpy(np.int64),
        people["group"].to_numpy(),
        [f"no {finding}", finding],
        positive_class=finding,
        protocol=protocol,
    )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
