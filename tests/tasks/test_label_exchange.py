"""Labels in the forms of others: in once, out as they count, and back the same."""

from pathlib import Path

import pytest
from support.runs.staged_run import IMAGES, StagedRun

from tasks.catalogue import read_catalogue
from tasks.data.settings import ImagesSource
from tasks.errors import LabellingError, ManifestMismatch
from tasks.ingest import ingest
from tasks.label_begin import begin_labelling
from tasks.label_exchange import decide, export_labels, import_labels
from tasks.labelling.formats import ExportFormat
from tasks.labelling.settings import LabellingSettings


def test_the_same_file_again_changes_nothing(staged_copy: StagedRun, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("path,label\nno/00.png,yes\nno/02.png,no\n")
    first = import_labels(staged_copy.run, staged_copy.listing, file, "ann")
    again = import_labels(staged_copy.run, staged_copy.listing, file, "ann")
    assert (first.labels, first.new, again.labels, again.new) == (2, 2, 2, 0)


def test_images_that_the_store_lacks_are_refused(staged_copy: StagedRun, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("path,label\nno/of another store.png,yes\n")
    with pytest.raises(ManifestMismatch):
        import_labels(staged_copy.run, staged_copy.listing, file, "ann")
    with pytest.raises(ManifestMismatch, match="cannot be read"):
        import_labels(staged_copy.run, staged_copy.listing, tmp_path / "missing.csv", "ann")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "coco"])
def test_what_counts_goes_out_and_comes_back(
    staged_copy: StagedRun, tmp_path: Path, kind: ExportFormat
) -> None:
    run, source = staged_copy.run, ImagesSource(url=staged_copy.listing.url)
    begin_labelling(run, source, staged_copy.listing, LabellingSettings(), False)
    path = read_catalogue(run, staged_copy.catalogue).frame["path"].iloc[0]
    decide(run, path, label=None, by="ann", review=False)
    listing = ingest(run, source).listing
    exported = export_labels(run, listing, kind)
    assert exported.labels == IMAGES - 1, "what was rejected has no label"
    file = tmp_path / f"labels.{kind}"
    file.write_bytes(run.open_workspace().read(exported.file.path))
    assert import_labels(run, listing, file, "bob").new == IMAGES - 1


def test_a_class_that_is_none_is_refused(staged_copy: StagedRun) -> None:
    begin = LabellingSettings(classes=("no", "yes"))
    begin_labelling(
        staged_copy.run, ImagesSource(url=staged_copy.listing.url), staged_copy.listing, begin, False
    )
    with pytest.raises(LabellingError, match="'maybe' is no class"):
        decide(staged_copy.run, "no/00.png", label="maybe", by="ann", review=False)
