"""Clinical: what the honest predictions mean for patients, beside the figures by which models are compared."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from tasks.catalogue import Catalogue, read_catalogue
from tasks.data.catalogue_table import CatalogueTable
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
from tasks.evaluation.shortcuts import said_by_facts
from tasks.ingest import Listing, read_listing
from tasks.record import FileReference, Frozen, Record


class ClinicalFigures(Frozen):
    """Figures that a clinician asks for, of the predictions that the evaluation is about."""

    patients: PatientFacts = Field(description="What is known of who is on the images.")
    per_patient: Evaluation | None = Field(
        description="Figures of whole patients: one is positive if any image is. None where patients are unknown, have "
        "one image each, or there is no class to be found."
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


@stage("clinical", version=2)
def clinical_figures(
    run: Run,
    listing: Listing,
    catalogue: Catalogue,
    evaluated: EvaluatedBundle,
    *,
    one_image_a_patient: bool,
    prevalence: float | None,
) -> Clinical:
    """Say who is on the images, how whole patients are judged, and what the rule does where the finding is rarer."""
    keys = read_listing(run, listing).set_index("path")["group"]
    table = read_catalogue(run, catalogue)
    usable = table.frame[~table.frame["conflict"]]
    facts = patient_facts(
        usable["sha256"], patient_numbers(usable["path"].map(keys)), declared=one_image_a_patient
    )
    predictions = read_predictions(run, evaluated)
    figures = ClinicalFigures(
        patients=facts,
        per_patient=_per_patient(catalogue, predictions, predictions["path"].map(keys)),
        practice=_practice(catalogue, table, predictions, evaluated.evaluation, prevalence),
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


def _practice(
    catalogue: Catalogue,
    table: CatalogueTable,
    predictions: pd.DataFrame,
    evaluation: Evaluation,
    prevalence: float | None,
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
        facts=_by_facts(catalogue, table, predictions) if len(catalogue.classes) == 2 else None,
    )


def _by_facts(
    catalogue: Catalogue, table: CatalogueTable, predictions: pd.DataFrame
) -> npt.NDArray[np.float64] | None:
    """What trivial facts alone say of each predicted image; None where they do not cover all."""
    said = said_by_facts(table.contents, catalogue.classes, str(catalogue.positive_class))
    of_images = np.asarray(predictions["sha256"].map(said), dtype=np.float64)
    return None if np.isnan(of_images).any() else of_images
