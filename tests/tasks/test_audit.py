"""The audit of a catalogue: classes are counted, and what trivial facts say is measured and told."""

from pathlib import Path

from PIL import Image
from support.runs.staged_run import CHECKS, NAME, StagedRun, write_pictures

from tasks.audit import AuditFindings, audit_images
from tasks.catalogue import build_catalogue
from tasks.data.settings import ImagesSource
from tasks.engine.run import open_run
from tasks.ingest import ingest


def test_classes_are_counted_and_the_file_says_the_same(staged_copy: StagedRun) -> None:
    audit = audit_images(staged_copy.run, staged_copy.catalogue)
    assert {one.name: (one.images, one.groups) for one in audit.findings.balance.classes} == {
        "no": (18, 18),
        "yes": (18, 18),
    }
    kept = staged_copy.run.open_workspace().read(audit.file.path)
    assert AuditFindings.model_validate_json(kept) == audit.findings
    assert Path(audit.file.path).parent == Path(staged_copy.catalogue.table.path).parent


def test_a_size_that_gives_the_class_away_is_warned_of(tmp_path: Path) -> None:
    images = write_pictures(tmp_path / "images", 36)
    for path in (images / "yes").iterdir():
        Image.open(path).resize((80, 80)).save(path)
    run = open_run(str(tmp_path / "ws"), None, NAME)
    catalogue = build_catalogue(run, ingest(run, ImagesSource(url=str(images))).listing, CHECKS, "yes")
    assert any(
        "width" in warning or "size" in warning for warning in audit_images(run, catalogue).findings.warnings
    )
