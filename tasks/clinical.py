"""Clinical: what the honest predictions mean for patients, beside the figures by which models are compared."""

import numpy as np
import pandas as pd
from pydantic import Field

from tasks.catalogue import Catalogue, read_catalogue
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
from tasks.ingest import Listing, read_listing
from tasks.record import FileReference, Frozen, Record


class ClinicalFigures(Frozen):
    """Figures that a clinician asks for, of the predictions that the evaluation is about."""

    patients: PatientFacts = Field(description="What is known of who is on the images.")
    per_patient: Evaluation | None = Field(
        description="Figures of whole patients: one is positive if any image is. None where patients are unknown, have "
        "one image each, or there is no class to be found."
    )


class Clinical(Record):
    """The figures, and where they are kept."""

    figures: ClinicalFigures = Field(description="The figures.")
    file: FileReference = Field(description="clinical.json.")


@stage("clinical", version=1)
def clinical_figures(
    run: Run,
    listing: Listing,
    catalogue: Catalogue,
    evaluated: EvaluatedBundle,
    one_image_a_patient: bool,
) -> Clinical:
    """Say who is on the images, and how whole patients are judged."""
    keys = read_listing(run, listing).set_index("path")["group"]
    table = read_catalogue(run, catalogue)
    usable = table.frame[~table.frame["conflict"]]
    facts = patient_facts(
        usable["sha256"], patient_numbers(usable["path"].map(keys)), declared=one_image_a_patient
    )
    predictions = read_predictions(run, evaluated)
    figures = ClinicalFigures(
        patients=facts, per_patient=_per_patient(catalogue, predictions, predictions["path"].map(keys))
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
