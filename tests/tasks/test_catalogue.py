"""The catalogue of a store: what is usable, in which fold, and what is refused before anything is learnt."""

from pathlib import Path

import pytest
from support.runs.staged_run import CHECKS, IMAGES, NAME, StagedRun, write_pictures

from tasks.catalogue import Catalogue, build_catalogue, ledger_of, read_catalogue, read_near_pairs
from tasks.data.folds import FoldLedger
from tasks.data.patient_keys import PatientKeys
from tasks.data.settings import CatalogueSettings, ImagesSource
from tasks.engine.run import Run, open_run
from tasks.engine.stage import timed_stages
from tasks.errors import ConfigError
from tasks.ingest import ingest


def catalogued(run: Run, images: Path, checks: CatalogueSettings = CHECKS) -> Catalogue:
    return build_catalogue(run, ingest(run, ImagesSource(url=str(images))).listing, checks, "yes")


def test_every_image_has_a_row_and_its_fold_is_that_of_the_ledger(staged: StagedRun) -> None:
    table = read_catalogue(staged.run, staged.catalogue)
    assert (staged.catalogue.classes, staged.catalogue.positive_index) == (("no", "yes"), 1)
    assert staged.catalogue.summary.images == len(table.frame) == IMAGES
    ledger = FoldLedger.from_bytes(
        ledger_of(staged.run).read()[1], 3, PatientKeys(staged.run.open_workspace())
    )
    assert {sha256: entry.fold for sha256, entry in ledger.entries.items()} == dict(
        zip(table.frame["sha256"], table.frame["fold"], strict=True)
    )
    assert read_near_pairs(staged.run, staged.catalogue).empty
    assert staged.catalogue.label_indices(["yes", "no"]).tolist() == [1, 0]


def test_grown_data_keep_their_folds_and_what_cannot_be_read_is_a_reject(tmp_path: Path) -> None:
    images, run = write_pictures(tmp_path / "images", 12), open_run(str(tmp_path / "ws"), None, NAME)
    before = read_catalogue(run, catalogued(run, images)).frame.set_index("path")["fold"]
    write_pictures(images, 18)
    (images / "no" / "damaged.png").write_bytes((images / "no" / "00.png").read_bytes()[:60])
    grown = catalogued(run, images)
    table = read_catalogue(run, grown)
    assert table.frame.set_index("path")["fold"].reindex(before.index).tolist() == before.tolist()
    assert table.rejects["path"].tolist() == ["no/damaged.png"]
    assert grown.summary.images == 18


def test_nothing_is_done_again_until_the_ledger_or_the_data_change(staged_copy: StagedRun) -> None:
    run, listing = staged_copy.another_run(), staged_copy.listing
    with timed_stages() as timings:
        assert build_catalogue(run, listing, CHECKS, "yes") == staged_copy.catalogue
        ledger_of(run).update(lambda content: (content or b"") + b" ")
        assert (
            build_catalogue(run, listing, CHECKS, "yes").digest_of_rows
            == staged_copy.catalogue.digest_of_rows
        )
    assert [row.reused for row in timings] == [True, False]


@pytest.mark.parametrize(("n", "protocol"), [(12, "cross_validation"), (12, "holdout")])
def test_the_protocol_is_the_one_that_is_asked_for_or_that_of_the_size(
    n: int, protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.catalogue.CROSS_VALIDATION_BELOW", n + (protocol == "cross_validation"))
    run = open_run(str(tmp_path / "ws"), None, NAME)
    checks = CHECKS.model_copy(update={"protocol": None})
    assert catalogued(run, write_pictures(tmp_path / "images", n), checks).protocol == protocol


def test_two_classes_need_a_finding(staged_copy: StagedRun) -> None:
    with pytest.raises(ConfigError, match="no positive_class is named"):
        build_catalogue(staged_copy.run, staged_copy.listing, CHECKS, None)
