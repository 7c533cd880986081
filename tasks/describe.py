"""Describe: what the data set is about, where each image went, and the model card, all of which go into the bundle."""

import hashlib

import numpy as np
from pydantic import Field

from tasks.audit import Audit
from tasks.catalogue import Catalogue, read_catalogue
from tasks.clinical import Clinical
from tasks.data.flow import ImageFlow, image_flow
from tasks.data.patient_key import folded_key
from tasks.engine.run import Run
from tasks.engine.stage import stage
from tasks.evaluate import EvaluatedBundle, beside_the_test, judged_folds, read_predictions
from tasks.evaluation.out_of_fold import reported_folds
from tasks.ingest import Listing, read_listing
from tasks.models.about import AboutDataSet
from tasks.models.manifest import CARD_FILE, amended, read_manifest
from tasks.pages.model_card import CardContent, model_card
from tasks.record import FileReference, Record


class Described(Record):
    """A bundle that says what it is about."""

    about: AboutDataSet = Field(description="What people said of the data set.")
    flow: ImageFlow = Field(description="Where each image and patient went.")
    card: FileReference = Field(description="model_card.md.")
    evaluated: EvaluatedBundle = Field(
        description="The evaluated bundle, its bundle.json with what it is about and the card among its files."
    )

    def in_words(self) -> str:
        """Where the images went."""
        left_out = [f"{step.images} {step.what}" for step in self.flow.steps if not step.kept]
        return f"of {self.flow.images} images left out of the figures: {'; '.join(left_out) or 'none'}"


@stage("describe", version=1)
def describe_bundle(
    run: Run,
    listing: Listing,
    catalogue: Catalogue,
    audit: Audit,
    evaluated: EvaluatedBundle,
    clinical: Clinical,
    about: AboutDataSet,
) -> Described:
    """Put what reporting standards ask for into the bundle, and write the model card from it."""
    flow = _flow(run, listing, catalogue, evaluated)
    where = run.open_workspace().uri(evaluated.manifest.path)
    manifest = amended(read_manifest(run.read(evaluated.manifest), where), about=about.model_dump())
    figures = clinical.figures
    text = model_card(
        CardContent(
            manifest=manifest,
            about=about,
            flow=flow,
            evaluation=evaluated.evaluation,
            patients=figures.patients,
            per_patient=figures.per_patient,
            practice=figures.practice,
            warnings=audit.findings.warnings,
        )
    ).encode()
    manifest = amended(manifest, files={**manifest.files, CARD_FILE: hashlib.sha256(text).hexdigest()})
    card = run.write(f"report/{CARD_FILE}", text)
    described = run.write("described/bundle.json", manifest.model_dump_json(indent=2).encode())
    return Described(
        about=about,
        flow=flow,
        card=card,
        evaluated=evaluated.model_copy(update={"manifest": described, "card": card}),
    )


def _flow(run: Run, listing: Listing, catalogue: Catalogue, evaluated: EvaluatedBundle) -> ImageFlow:
    listed = read_listing(run, listing)
    listed["patient"] = listed["group"].map(folded_key, na_action="ignore")
    table = read_catalogue(run, catalogue)
    rows = table.frame[["path", "conflict"]].copy()
    rows["beside_test"] = beside_the_test(table.frame, catalogue)
    folds = judged_folds(table.frame, catalogue)
    rows["reported"] = np.isin(folds, list(reported_folds(catalogue.protocol, catalogue.n_folds)))
    return image_flow(listed, table.rejects, rows, read_predictions(run, evaluated)["path"].tolist())
