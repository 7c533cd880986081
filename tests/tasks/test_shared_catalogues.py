"""A catalogue stands for the data; another one of the same rows takes nothing from it."""

from pathlib import Path

from tasks.audit import audit_images
from tasks.catalogue import build_catalogue, read_catalogue, read_near_pairs
from tasks.copies.settings import NearCopyRule
from tasks.data.settings import CatalogueSettings, ImagesSource
from tasks.demo.data_set import DemoSummary
from tasks.engine.run import Run, open_run, write_lasting
from tasks.engine.stage import timed_stages
from tasks.ingest import ingest
from tasks.stores.layout import is_catalogue_table


def test_catalogues_of_the_same_rows_by_other_rules_keep_their_own_files(
    small_demo: DemoSummary, tmp_path: Path
) -> None:
    run = open_run(str(tmp_path / "ws"), None, "small")
    listing = ingest(run, ImagesSource(url=str(small_demo.images))).listing
    searched = CatalogueSettings(n_folds=3, copies=NearCopyRule(search=True))
    unsearched = CatalogueSettings(n_folds=3, copies=NearCopyRule(search=False))
    first = build_catalogue(run, listing, searched, "yes")
    pairs = read_near_pairs(run, first)
    other = build_catalogue(run, listing, unsearched, "yes")
    assert first.digest_of_rows == other.digest_of_rows
    assert first.near_pairs != other.near_pairs
    assert len(pairs) > len(read_near_pairs(run, other))
    with timed_stages() as timings:
        again = build_catalogue(run, listing, searched, "yes")
    assert [row.reused for row in timings] == [True]
    assert read_near_pairs(run, again).equals(pairs)
    assert read_catalogue(run, again).digest == first.digest_of_rows
    assert audit_images(run, again).findings == audit_images(run, other).findings


def test_a_file_that_runs_share_is_never_overwritten(tmp_path: Path) -> None:
    run = Run(id="r", name="small", workspace=str(tmp_path / "ws"))
    workspace, path = run.open_workspace(), "datasets/small/0123456789abcdef/catalogue.parquet"
    one, same, other = (write_lasting(workspace, path, data) for data in (b"one", b"one", b"other"))
    assert one == same and one.path == path
    assert other == write_lasting(workspace, path, b"other") and other.path != path
    assert [run.read(file) for file in (one, other)] == [b"one", b"other"]
    assert is_catalogue_table(one.path) and is_catalogue_table(other.path)
    assert len(workspace.list("datasets")) == 2
