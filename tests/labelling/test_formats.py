"""Labels go out and come back the same, in every format."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.data.label_table import read_manifest
from tasks.errors import LabellingError, ManifestMismatch
from tasks.labelling.formats import ExportRow, ForeignLabel, exported, placed, read_coco
from tasks.labelling.label_studio_exports import read_label_studio
from tasks.labelling.label_studio_records import chosen
from tasks.labelling.project import check_classes, label_config
from tasks.stores.datastore import Datastore

ROWS = [
    ExportRow(path, f"az://scans/{path}", digest * 64, label, "person", "ann", "2026-01-01", "png", 40, 30)
    for path, digest, label in [("no/a, b.png", "a", "no"), ("ü.png", "b", "yes")]
]
DIGESTS = {row.path: row.sha256 for row in ROWS}
LABELS = {row.path: row.label for row in ROWS}


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_csv_and_json_lines_are_manifests(kind: str, tmp_path: Path) -> None:
    (tmp_path / "no").mkdir()
    for path in LABELS:
        (tmp_path / path).write_bytes(b"x")
    manifest = tmp_path.with_suffix(f".{kind}")
    manifest.write_bytes(exported(ROWS, kind, ("no", "yes")))  # type: ignore[arg-type]
    store = Datastore(str(tmp_path))
    rows = read_manifest(store, store.blobs(), str(manifest)).rows
    assert {path: row.label for path, row in rows.items()} == LABELS


def test_coco_comes_back() -> None:
    content = json.loads(exported(ROWS, "coco", ("yes", "no", "unused")))
    assert [row["name"] for row in content["categories"]] == ["yes", "no", "unused"]
    assert content["annotations"][0]["bbox"] == [0, 0, 40, 30]
    for image in content["images"]:
        del image["sha256"]
    found = placed(read_coco(content, "file"), DIGESTS, "file")
    assert {path: label.label for label, _, path in found} == LABELS
    content["annotations"].append({"image_id": 1, "category_id": 1})
    with pytest.raises(ManifestMismatch, match="1 images have several categories"):
        read_coco(content, "file")
    with pytest.raises(ManifestMismatch, match="is no COCO file"):
        read_coco({"images": [{}], "categories": [], "annotations": []}, "file")


def test_label_studios_export_keeps_who_said_what() -> None:
    def answer(choice: str | None, by: object, **more: object) -> dict[str, object]:
        value = {"choices": [choice]} if choice else {"text": ["?"]}
        result = [{"type": "choices" if choice else "textarea", "value": value}]
        return {"result": result, "completed_by": by, "updated_at": "2026-02-03T04:05:06Z", **more}

    content = [
        {
            "data": {"image": "/data/upload/7/0123abcd-%C3%BC.png?x=1"},
            "annotations": [
                answer("yes", {"id": 3, "email": "ann@example.org"}),
                answer("__rejected__", 4),
                answer(None, 5),
            ],
        },
        {
            "data": {"picture": "s3://bucket/scans/no/a, b.png"},
            "annotations": [answer("no", 4, was_cancelled=True)],
        },
    ]
    read = read_label_studio(content, "file")
    assert [(one.label, one.by, one.skipped) for one in read] == [
        ("yes", "ann@example.org", False),
        (None, "user 4", False),
        (None, "user 5", True),
        ("no", "user 4", True),
    ]
    assert read[0].time == datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    with pytest.raises(ManifestMismatch, match="is no export of Label Studio"):
        read_label_studio([{"data": {}, "annotations": []}], "file")
    assert [path for _, _, path in placed(read[-1:], DIGESTS, "file")] == ["no/a, b.png"]


def test_an_image_that_cannot_be_told_is_named() -> None:
    twins = {"x/1.png": "a" * 64, "y/1.png": "b" * 64}
    with pytest.raises(
        ManifestMismatch, match=r"1 of the 2 images of file are not among the 2 of the store: 1\.png"
    ):
        placed(
            [ForeignLabel("http://host/x/1.png?sig=secret", "no"), ForeignLabel("1.png?sig=secret", "no")],
            twins,
            "file",
        )


def test_any_class_name_makes_a_page_that_parses() -> None:
    from xml.etree import ElementTree

    names = ['a "b" & <c>', "ü", *(f"class {i}" for i in range(9))]
    choices = ElementTree.fromstring(label_config(names)).iter("Choice")  # noqa: S314 - our own
    found = [(choice.get("value"), choice.get("hotkey")) for choice in choices]
    assert found[:2] == [(names[0], "1"), ("ü", "2")]
    assert found[9:] == [("class 7", None), ("class 8", None), ("not usable", "0")]
    assert chosen([{"type": "rectangle"}, {"type": "choices", "value": {"choices": []}}]) is None


@pytest.mark.parametrize("names", [[], ["one"], ["a", "a"], ["a", " b"], ["a", "not usable"], ["a", ""]])
def test_classes_that_cannot_be_told_apart_are_refused(names: list[str]) -> None:
    with pytest.raises(LabellingError, match="cannot be asked for"):
        check_classes(names)
