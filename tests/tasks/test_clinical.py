"""What the predictions mean for patients, of a real run: who is known, and the figures of whole patients."""

import io
from pathlib import Path

import pandas as pd
import pytest
from support.runs.staged_run import StagedRun

from tasks.audit import audit_images
from tasks.clinical import Clinical, ClinicalFigures, clinical_figures
from tasks.engine.run import write_lasting
from tasks.evaluation.shortcuts import ALL_FACTS
from tasks.ingest import Listing, read_listing
from tasks.record import FileReference


def _with_keys(staged: StagedRun, keys: list[str]) -> Listing:
    """The same listing, as a table with a column group would give it."""
    frame = read_listing(staged.run, staged.listing).assign(group=keys)
    table: FileReference = write_lasting(
        staged.run.open_workspace(), "datasets/discs/listings/keyed.parquet", frame.to_parquet(index=False)
    )
    return staged.listing.model_copy(update={"table": table})


def _clinical(
    staged: StagedRun, listing: Listing, *, declared: bool = False, prevalence: float | None = None
) -> Clinical:
    audit = audit_images(staged.run, staged.catalogue)
    return clinical_figures(
        staged.run,
        listing,
        staged.catalogue,
        audit,
        staged.evaluated,
        one_image_a_patient=declared,
        prevalence=prevalence,
    )


def test_patients_are_unknown_unless_somebody_says_otherwise(staged_copy: StagedRun) -> None:
    found = _clinical(staged_copy, staged_copy.listing)
    assert found.figures.patients.known == "unknown" and found.figures.per_patient is None
    kept = ClinicalFigures.model_validate_json(staged_copy.run.read(found.file))
    assert kept == found.figures
    declared = _clinical(staged_copy, staged_copy.listing, declared=True)
    assert declared.figures.patients.known == "declared" and declared.figures.patients.cautions == ()


def test_patients_are_counted_once_where_a_key_is_given(staged_copy: StagedRun) -> None:
    listed = read_listing(staged_copy.run, staged_copy.listing)
    keys = [f"{' P' if place % 2 else 'p'}{place // 2}" for place in range(len(listed))]
    found = _clinical(staged_copy, _with_keys(staged_copy, keys)).figures
    assert (found.patients.known, found.patients.patients) == ("key", len(listed) // 2)
    assert found.per_patient is not None and found.per_patient.n == len(listed) // 2
    predictions = pd.read_parquet(io.BytesIO(staged_copy.run.read(staged_copy.evaluated.predictions)))
    patient = predictions["path"].map(
        dict(zip(listed["path"], [key.strip().lower() for key in keys], strict=True))
    )
    positive = (predictions["label"] == "yes").groupby(patient).any()
    alarmed = (predictions["predicted"] == "yes").groupby(patient).any()
    assert found.per_patient.recall.value == pytest.approx(alarmed[positive].mean())
    assert found.per_patient.specificity.value == pytest.approx((~alarmed)[~positive].mean())


def test_the_same_question_is_answered_once(staged_copy: StagedRun) -> None:
    first = _clinical(staged_copy, staged_copy.listing)
    workspace = Path(staged_copy.run.workspace)
    before = sorted(workspace.glob("stages/clinical/*"))
    assert _clinical(staged_copy, staged_copy.listing) == first
    assert sorted(workspace.glob("stages/clinical/*")) == before


def test_the_rule_is_told_at_the_stated_prevalence_with_what_trivial_facts_alone_would_do(
    staged_copy: StagedRun,
) -> None:
    practice = _clinical(staged_copy, staged_copy.listing, prevalence=0.02).figures.practice
    assert practice is not None and (practice.prevalence, practice.stated) == (0.02, True)
    recall = staged_copy.evaluated.evaluation.recall.value
    assert recall is not None
    assert practice.here.misses_per_1000.value == pytest.approx(20 * (1 - recall))
    assert len(practice.restated) == 5 and practice.net_benefit.prevalence == 0.02
    own = _clinical(staged_copy, staged_copy.listing).figures.practice
    assert own is not None and (own.prevalence, own.stated, own.restated) == (0.5, False, ())
    assert own.calibration == practice.calibration
    facts = [fact.fact for fact in audit_images(staged_copy.run, staged_copy.catalogue).findings.shortcuts]
    assert set(own.net_benefit.others) == ({"trivial facts"} if ALL_FACTS in facts else set())


def test_figures_stand_by_the_columns_that_were_asked_for_and_by_facts_of_the_files(
    staged_copy: StagedRun,
) -> None:
    frame = read_listing(staged_copy.run, staged_copy.listing)
    sites = ["north" if place % 3 else "south" for place in range(len(frame))]
    table = write_lasting(
        staged_copy.run.open_workspace(),
        "datasets/discs/listings/sites.parquet",
        frame.assign(**{"subgroup site": sites}).to_parquet(index=False),
    )
    found = _clinical(staged_copy, staged_copy.listing.model_copy(update={"table": table})).figures.subgroups
    by_name = {one.column: one for one in found}
    site = by_name["site"]
    assert not site.of_images and all(one.of_images for name, one in by_name.items() if name != "site")
    assert {row.value: row.n for row in site.values} == {
        "north": sites.count("north"),
        "south": sites.count("south"),
    }
    predictions = pd.read_parquet(io.BytesIO(staged_copy.run.read(staged_copy.evaluated.predictions)))
    south = predictions["path"].map(dict(zip(frame["path"], sites, strict=True))) == "south"
    positive = predictions["label"] == "yes"
    own = next(row for row in site.values if row.value == "south")
    assert own.recall is not None and own.specificity is not None
    assert own.recall.value == pytest.approx((predictions["predicted"] == "yes")[south & positive].mean())
    assert own.specificity.value == pytest.approx(
        (predictions["predicted"] == "no")[south & ~positive].mean()
    )
