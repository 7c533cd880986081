"""Every form in which Label Studio exports any project's answers is read, or refused with its tasks named."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from support.runs.staged_run import StagedRun

from tasks.errors import LabellingError, ManifestMismatch
from tasks.label_exchange import import_labels
from tasks.labelling.decision import DecisionStore
from tasks.labelling.label_studio_exports import is_label_studio, read_label_studio

ADDRESS = base64.urlsafe_b64encode(b"s3://bucket/scans/no/00.png").decode()


def task(image: Any, *choices: str, number: int = 1, key: str = "image", **result: Any) -> dict[str, Any]:
    """A task of the full JSON, with one answer."""
    region = {
        "type": "choices",
        "from_name": "choice",
        "to_name": "x",
        "value": {"choices": list(choices)},
        **result,
    }
    entered = {"id": number, "completed_by": 3, "result": [region], "updated_at": "2026-02-03T04:05:06Z"}
    return {"id": number, "data": {key: image}, "annotations": [entered], "predictions": []}


def flat(
    image: str, answer: Any, number: int = 1, key: str = "image", question: str = "choice"
) -> dict[str, Any]:
    """A row of JSON_MIN, or of CSV."""
    times = {"created_at": "2026-02-03T04:05:06Z", "updated_at": "2026-02-03T04:05:06Z", "lead_time": 2.5}
    return {key: image, "id": number, question: answer, "annotator": 3, "annotation_id": number, **times}


def labels_of(content: Any, known: tuple[str, ...] = ()) -> list[tuple[str, str | None]]:
    return [(one.image, one.label) for one in read_label_studio(content, "file", known)]


@pytest.mark.parametrize("key", ["image", "img", "scan", "mri_slice", "picture"])
def test_the_image_is_found_whatever_its_field_is_called(key: str) -> None:
    row = task("/data/upload/1/0123abcd-a.png", "yes", key=key)
    row["data"] = {"title": "a text that stands first", "patient": "P1", **row["data"]}
    assert labels_of([row]) == [("/data/upload/1/0123abcd-a.png", "yes")]
    assert labels_of([flat("/data/upload/1/0123abcd-a.png", "yes", key=key)]) == labels_of([row])


def test_several_choices_are_refused_in_every_form_and_the_tasks_are_named() -> None:
    many = ["healthy", "tumour"]
    for content in (
        [task("a.png", "yes"), task("b.png", *many, number=7)],
        [flat("a.png", "yes"), flat("b.png", {"choices": many}, number=7)],
        [flat("a.png", "yes"), flat("b.png", json.dumps({"choices": many}), number=7)],
        [flat("a.png", "yes"), flat("b.png", many, number=7)],
    ):
        with pytest.raises(ManifestMismatch, match=r"1 answers name several classes of one image: tasks 7"):
            read_label_studio(content, "file")


def test_several_results_of_one_question_are_several_choices() -> None:
    row = task("a.png", "yes", number=5)
    row["annotations"][0]["result"] += task("a.png", "no")["annotations"][0]["result"]
    with pytest.raises(ManifestMismatch, match="tasks 5"):
        read_label_studio([row], "file")


def test_of_several_questions_the_one_about_classes_counts() -> None:
    row = task("a.png", "sharp", from_name="quality")
    row["annotations"][0]["result"] += task("a.png", "tumour", from_name="diagnosis")["annotations"][0][
        "result"
    ]
    assert labels_of([row], ("Tumour", "healthy")) == [("a.png", "tumour")]
    with pytest.raises(ManifestMismatch, match="answer several questions: quality, diagnosis"):
        read_label_studio([row], "file")


@pytest.mark.parametrize(
    "region",
    [
        {"type": "rectanglelabels", "value": {"rectanglelabels": ["tumour"], "x": 1}},
        {"type": "choices", "value": {"choices": ["tumour"], "x": 1, "y": 2, "width": 3}},
        {"type": "taxonomy", "value": {"taxonomy": [["tumour", "glioma"]]}},
        {"type": "pairwise", "value": {"selected": "left"}},
    ],
)
def test_answers_about_parts_of_an_image_are_no_class_of_it(region: dict[str, Any]) -> None:
    with pytest.raises(ManifestMismatch, match=r"1 answers are about parts of an image.*: tasks 9"):
        read_label_studio([task("a.png", number=9, **region)], "file")


def test_flat_taxonomies_old_exports_and_single_tasks_are_read() -> None:
    one_level = task("a.png", type="taxonomy", value={"taxonomy": [["tumour"]]})
    old = task("a.png", "tumour")
    old["completions"] = old.pop("annotations")
    listed = task(["a.png"], "tumour")
    for content in (
        [one_level],
        [old],
        [listed],
        task("a.png", "tumour"),
        {"tasks": [task("a.png", "tumour")]},
    ):
        assert is_label_studio(content)
        assert labels_of(content) == [("a.png", "tumour")]
    assert (
        labels_of([{"id": 1, "data": {"image": "a.png"}, "annotations": [], "predictions": [{"result": []}]}])
        == []
    )
    with pytest.raises(ManifestMismatch, match="task 1 has several images in image"):
        read_label_studio([task(["a.png", "b.png"], "tumour")], "file")


def test_fields_that_cannot_be_told_apart_are_named() -> None:
    row = task("a.png", "yes", key="before")
    row["data"]["after"] = "b.png"
    with pytest.raises(ManifestMismatch, match="several fields that could be the image: after, before"):
        read_label_studio([row], "file")
    with pytest.raises(ManifestMismatch, match="no field that names an image: text"):
        read_label_studio([task("a word", "yes", key="text")], "file")


def csv_of(rows: list[dict[str, Any]], parted_by: str = ",") -> str:
    def cell(value: Any) -> str:
        text = value if isinstance(value, str) else json.dumps(value)
        return '"' + text.replace('"', '""') + '"'

    return "\n".join([parted_by.join(rows[0]), *(parted_by.join(map(cell, row.values())) for row in rows)])


ANSWERS = [("/data/local-files/?d=scans/no/00.png", "yes"), ("/data/upload/3/0123abcd-02.png", "no")]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps([task(image, label, number=i) for i, (image, label) in enumerate(ANSWERS)]),
        "\ufeff" + json.dumps([flat(image, label, i) for i, (image, label) in enumerate(ANSWERS)]),
        json.dumps([task(f"/tasks/7/resolve/?fileuri={ADDRESS}", "yes"), task(*ANSWERS[1], number=2)]),
        csv_of([flat(image, label, i) for i, (image, label) in enumerate(ANSWERS)]),
        csv_of([flat(image, {"choices": [label]}, i) for i, (image, label) in enumerate(ANSWERS)]),
        csv_of(
            [flat(image, label, i, "scan", "diagnosis") for i, (image, label) in enumerate(ANSWERS)], "\t"
        ),
        csv_of([flat(image, label.upper(), i) for i, (image, label) in enumerate(ANSWERS)]),
    ],
    ids=["json", "json_min with mark", "bucket", "csv", "csv with choices", "tsv of own names", "other case"],
)
def test_every_form_of_an_export_is_imported(content: str, staged_copy: StagedRun, tmp_path: Path) -> None:
    (tmp_path / "export").write_text(content, encoding="utf-8")
    imported = import_labels(staged_copy.run, staged_copy.listing, tmp_path / "export", "ann")
    assert (imported.labels, imported.new) == (2, 2)
    decisions = DecisionStore(staged_copy.run.open_workspace(), staged_copy.run.name).read()
    assert {(one.path.rpartition("/")[2], one.label, one.by) for one in decisions} == {
        ("00.png", "yes", "user 3"),
        ("02.png", "no", "user 3"),
    }


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_a_label_that_no_class_bears_is_refused_as_by_hand(
    kind: str, staged_copy: StagedRun, tmp_path: Path
) -> None:
    file = tmp_path / "labels"
    file.write_text(
        json.dumps([task("no/00.png", "maybe")]) if kind == "json" else "path,label\nno/00.png,maybe\n"
    )
    with pytest.raises(
        LabellingError, match=r"1 labels of .* are no class of .* \(no, yes\): 'maybe' \(1\)"
    ) as refused:
        import_labels(staged_copy.run, staged_copy.listing, file, "ann")
    assert "no/00.png" in refused.value.message
    assert DecisionStore(staged_copy.run.open_workspace(), staged_copy.run.name).read() == []
