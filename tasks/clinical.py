"""Clinical: what the honest predictions mean for patients, beside the figures by which models are compared."""

import io

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from tasks.audit import Audit
from tasks.catalogue import Catalogue, read_catalogue
from tasks.data.labels import SUBGROUP
from tasks.engine.run import Run
from tasks.engine.stage import stage
from tasks.evaluate import EvaluatedBundle, read_predictions
from tasks.evaluation.metrics import Evaluation
from tasks.evaluation.patients import (
    NO_PATIENT,
    PatientFacts,
    evaluate_patients,
    patient_facts,
    patient_numbers,
)
from tasks.evaluation.practice import InPractice, in_practice
from tasks.evaluation.shortcuts import ALL_FACTS, read_scores
from tasks.evaluation.subgroups import Subgroups, subgroups
from tasks.ingest import Listing, read_listing
from tasks.record import FileReference, Frozen, Record

_MODES = {
    "L": "grey",
    "I;16": "grey, 16 bits",
    "RGB": "colour",
    "RGBA": "colour, transparent",
    "P": "palette of colours",
    "1": "black and white",
}


class ClinicalFigures(Frozen):
    """Figures that a clinician asks for, of the predictions that the evaluation is about."""

    patients: PatientFacts = Field(description="What is known of who is on the images.")
    per_patient: Evaluation | None = Field(
        description="Figures of whole patients: one is positive if any image is. None where patients are unknown, have "
        "one image each, or there is no class to be found."
    )
    subgroups: tuple[Subgroups, ...] = Field(
        description="Figures by the columns of the table that were asked for, and by facts of the files."
    )
    practice: InPractice | None = Field(
        description="What the model would do where it is used; None where there is no class to be found."
    )


class Clinical(Record):
    """The figures, and where they are kept."""

    figures: ClinicalFigures = Field(description="The figures.")
    file: FileReference = Field(description="clinical.json.")

    def in_words(self) -> str:
        """Who is known, and what an alarm is worth."""
        known = {
            "key": f"{self.figures.patients.patients} patients by their key",
            "declared": "no patient with two images, as declared",
            "unknown": "patients unknown: figures may be far too good",
        }[self.figures.patients.known]
        practice = self.figures.practice
        if practice is None or practice.here.ppv.value is None:
            return known
        right = f"{practice.here.ppv.value:.0%} of alarms are right"
        return f"{known}; where {practice.prevalence:.2%} of images have the finding {right}"


@stage("clinical", version=5)
def clinical_figures(
    run: Run,
    listing: Listing,
    catalogue: Catalogue,
    audit: Audit,
    evaluated: EvaluatedBundle,
    *,
    one_image_a_patient: bool,
    prevalence: float | None,
) -> Clinical:
    """Say who is on the images, how whole patients are judged, and what the rule does where the finding is rarer."""
    listed = read_listing(run, listing).set_index("path")
    keys = listed["group"]
    table = read_catalogue(run, catalogue)
    usable = table.frame[~table.frame["conflict"]]
    facts = patient_facts(
        usable["sha256"], patient_numbers(usable["path"].map(keys)), declared=one_image_a_patient
    )
    predictions = read_predictions(run, evaluated)
    figures = ClinicalFigures(
        patients=facts,
        per_patient=_per_patient(catalogue, predictions, predictions["path"].map(keys)),
        subgroups=_subgroups(catalogue, listed, table.frame, predictions),
        practice=_practice(
            catalogue,
            predictions,
            evaluated.evaluation,
            prevalence,
            _trivial(run, audit, catalogue, predictions),
        ),
    )
    return Clinical(
        figures=figures, file=run.write("clinical.json", figures.model_dump_json(indent=2).encode())
    )


def _per_patient(
    catalogue: Catalogue, predictions: pd.DataFrame, keys: "pd.Series[str]"
) -> Evaluation | None:
    finding = catalogue.positive_class
    patients = patient_numbers(keys)
    if finding is None or (patients == NO_PATIENT).all():
        return None
    return evaluate_patients(
        patients,
        (predictions["label"] == finding).to_numpy(np.bool_),
        predictions[f"probability_{finding}"].to_numpy(np.float64),
        (predictions["predicted"] == finding).to_numpy(np.bool_),
        predictions["group"],
        finding=finding,
        protocol=catalogue.protocol,
    )


def _subgroups(
    catalogue: Catalogue, listed: pd.DataFrame, frame: pd.DataFrame, predictions: pd.DataFrame
) -> tuple[Subgroups, ...]:
    paths, finding = predictions["path"], catalogue.positive_class
    asked = {
        name.removeprefix(SUBGROUP): (paths.map(listed[name]), False)
        for name in listed.columns
        if name.startswith(SUBGROUP)
    }
    facts = frame.set_index("path")
    read_off = {
        "File format": facts["format"],
        "Grey or colour": facts["mode"].map(lambda mode: _MODES.get(mode, mode)),
        "Longer side, pixels": facts[["width", "height"]].max(axis=1).astype(str),
        "Mean brightness, 0 to 255": facts["mean_intensity"].round().astype(int).astype(str),
    }
    of_images = {name: (paths.map(values), True) for name, values in read_off.items()}
    return subgroups(
        {**asked, **of_images},
        (predictions["label"] == predictions["predicted"]).to_numpy(np.bool_)
        if finding is None
        else ((predictions["label"] == finding) == (predictions["predicted"] == finding)).to_numpy(np.bool_),
        predictions["group"],
        positive=None if finding is None else (predictions["label"] == finding).to_numpy(np.bool_),
        scores=None if finding is None else predictions[f"probability_{finding}"].to_numpy(np.float64),
    )


def _practice(
    catalogue: Catalogue,
    predictions: pd.DataFrame,
    evaluation: Evaluation,
    prevalence: float | None,
    trivial: npt.NDArray[np.float64] | None,
) -> InPractice | None:
    finding = catalogue.positive_class
    if finding is None:
        return None
    return in_practice(
        (predictions["label"] == finding).to_numpy(np.bool_),
        predictions[f"probability_{finding}"].to_numpy(np.float64),
        predictions["group"],
        evaluation.recall,
        evaluation.specificity,
        prevalence=prevalence,
        facts=trivial,
    )


def _trivial(
    run: Run, audit: Audit, catalogue: Catalogue, predictions: pd.DataFrame
) -> npt.NDArray[np.float64] | None:
    """How probable trivial facts alone make the finding, of two classes; None where they do not cover every image."""
    said = pd.read_parquet(io.BytesIO(run.read(audit.trivial)))
    scores = read_scores(said, catalogue.classes).get(ALL_FACTS)
    if scores is None or catalogue.positive_index is None or len(catalogue.classes) != 2:
        return None
    by_content = pd.Series(scores[:, catalogue.positive_index], index=said["sha256"].to_numpy())
    of_images = np.asarray(predictions["sha256"].map(by_content), dtype=np.float64)
    return None if np.isnan(of_images).any() else of_images
