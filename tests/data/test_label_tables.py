"""Tables as others export them: keys of patients, missing values, columns of any name, ways to write JSON and CSV."""

import json
from pathlib import Path
from typing import Any

import pandas
import pytest

from tasks.data.labels import LabelledFiles, label_blobs
from tasks.data.settings import LabelReading
from tasks.errors import ManifestMismatch
from tasks.stores.datastore import Datastore


def read(
    folder: Path, content: str | bytes, images: int = 60, reading: LabelReading | None = None
) -> LabelledFiles:
    """What a table says of images 0.png, 1.png, ..."""
    store = folder / "store"
    store.mkdir(exist_ok=True)
    for number in range(images):
        (store / f"{number}.png").write_bytes(b"x")
    (folder / "table").write_bytes(content if isinstance(content, bytes) else content.encode())
    found = Datastore(str(store))
    return label_blobs(found, found.blobs(), str(folder / "table"), reading or LabelReading())


def table(header: str, key: Any, images: int = 60) -> str:
    """Rows of path, label and a further column, whose value comes of the row's number."""
    rows = [f"{number}.png,{'yes' if number % 2 else 'no'},{key(number)}" for number in range(images)]
    return "\n".join([f"path,label,{header}", *rows])


def groups(found: LabelledFiles) -> int:
    return len({row.group for row in found.rows if row.group is not None})


@pytest.mark.parametrize(
    "header",
    [
        "patient_id",
        "PatientID",
        "patient",
        "Patient ID",
        "subject",
        "subject_id",
        "MRN",
        "pid",
        "participant",
        "case_no",
        "StudyInstanceUID",
        "study_id",
        "lesion_id",
        "patientennummer",
        "anon_patient",
        "animal",
        "AccessionNumber",
    ],
)
def test_a_column_called_like_a_key_of_patients_gives_the_groups(header: str, tmp_path: Path) -> None:
    found = read(tmp_path, table(header, lambda number: f"K{number // 3:03}"))
    assert groups(found) == 20
    assert {row.group for row in found.rows if row.blob.path in ("0.png", "1.png", "2.png")} == {"K000"}
    [told] = found.told
    assert f"The column {header.lower()} of" in told
    assert "20 different values in 60 rows" in told
    assert "--group-column" in told


@pytest.mark.parametrize(
    "header", ["patient_age", "patient_sex", "study_date", "case_description", "subject_weight"]
)
def test_facts_of_a_patient_are_no_keys(header: str, tmp_path: Path) -> None:
    found = read(tmp_path, table(header, lambda number: 40 + number // 3))
    assert (groups(found), found.told) == (0, ())


@pytest.mark.parametrize("header", ["site", "hospital", "Scanner_ID", "institution"])
def test_a_site_is_asked_about(header: str, tmp_path: Path) -> None:
    found = read(tmp_path, table(header, lambda number: f"site {number % 4}"))
    assert groups(found) == 0
    assert f"--group-column {header.lower()}" in " ".join(found.told)


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("anonymous", lambda number: f"TCGA-{number // 3:04}"),
        ("code", lambda number: f"P{number // 3}"),
        ("id", lambda number: number // 3),
        ("who", lambda number: f"1.2.840.{number // 3}.5"),
        ("person_hash", lambda number: f"{number // 3:032x}"),
    ],
)
def test_a_column_that_looks_like_keys_is_used_or_asked_about(header: str, key: Any, tmp_path: Path) -> None:
    found = read(tmp_path, table(header, key))
    assert f"column {header} of" in " ".join(found.told)
    named = read(tmp_path, table(header, key), reading=LabelReading(group_column=header))
    assert (groups(named), named.told) == (20, ())


@pytest.mark.parametrize(
    ("header", "key", "why"),
    [
        ("study", lambda _: "ACRIN", "1 different values"),
        ("case", lambda number: number % 2, "2 different values"),
        ("lesion", lambda number: number % 3 + 1, "may begin anew with each patient"),
        ("patient", lambda number: number if number > 40 else "0", "the value of one row in 41 of 60 rows"),
        ("patient", lambda _: "", "is empty"),
    ],
)
def test_a_key_that_would_join_what_does_not_belong_together_is_not_used(
    header: str, key: Any, why: str, tmp_path: Path
) -> None:
    found = read(tmp_path, table(header, key))
    assert groups(found) == 0
    assert why in found.told[0]
    assert f"--group-column {header}" in found.told[0]


def test_the_coarsest_key_counts_and_none_by_a_word(tmp_path: Path) -> None:
    rows = "\n".join(f"{i}.png,{'ny'[i % 2]},L{i},S{i // 2},P{i // 3}" for i in range(60))
    content = f"path,label,lesion_id,study_id,patient_id\n{rows}"
    found = read(tmp_path, content)
    assert groups(found) == 20
    assert "The columns study_id, lesion_id could be keys too" in found.told[0]
    assert groups(read(tmp_path, content, reading=LabelReading(group_column="none"))) == 0
    assert groups(read(tmp_path, content, reading=LabelReading(group_column="StudyID"))) == 30
    with pytest.raises(
        ManifestMismatch, match="--group-column ward names no column, there are label, lesion_id"
    ):
        read(tmp_path, content, reading=LabelReading(group_column="ward"))


def test_missing_keys_join_nothing_and_spellings_of_a_key_are_one(tmp_path: Path) -> None:
    keys = ["P1", "p1", " P1 ", "NaN", "NA", "", "P2", "P3", "P4", "P5"]
    found = read(tmp_path, table("patient", lambda number: keys[number], 10), 10)
    assert [row.group for row in found.rows] == ["p1"] * 3 + [None] * 3 + ["P2", "P3", "P4", "P5"]
    assert "3 of them without one" in found.told[0]
    named = read(tmp_path, table("group", lambda number: keys[number], 10), 10)
    assert [row.group for row in named.rows] == [row.group for row in found.rows]


def test_columns_of_any_name_by_options(tmp_path: Path) -> None:
    rows = "\n".join(
        f"{i}.png,{'yes' if i % 2 else 'no'},{'test' if i < 20 else 'train'},x{i // 3}" for i in range(60)
    )
    content = f"File Name,Diagnosis,part,ward\n{rows}"
    reading = LabelReading(
        path_column="filename", label_column="diagnosis", split_column="Part", group_column="WARD"
    )
    found = read(tmp_path, content, reading=reading)
    assert groups(found) == 20
    assert {(row.label, row.split) for row in found.rows[:1]} == {("no", "test")}
    with pytest.raises(ManifestMismatch) as refused:
        read(tmp_path, content)
    assert "--path-column" in refused.value.cure
    with pytest.raises(ManifestMismatch) as refused:
        read(tmp_path, content, reading=LabelReading(path_column="File Name"))
    assert "--label-column" in refused.value.cure


@pytest.mark.parametrize(
    "text", ["NaN", "nan", "NA", "N/A", "n/a", "NULL", "null", "None", "<NA>", "#N/A", "-nan", "NaT"]
)
def test_texts_for_a_missing_value_are_no_class(text: str, tmp_path: Path) -> None:
    rows = [f"{i}.png,{text if i < 8 else 'yes' if i % 2 else 'no'}" for i in range(40)]
    found = read(tmp_path, "\n".join(["path,label", *rows]), 40)
    assert {row.label for row in found.rows} == {"yes", "no", None}
    assert sum(row.label is None for row in found.rows) == 8
    [told] = found.told
    assert "8 of 40 rows" in told
    assert f"--keep-labels {text}" in told
    kept = read(tmp_path, "\n".join(["path,label", *rows]), 40, LabelReading(keep_labels=(text,)))
    assert {row.label for row in kept.rows} == {"yes", "no", text}


def test_none_is_a_class_where_nothing_was_found(tmp_path: Path) -> None:
    found = read(tmp_path, "path,label\n0.png,none\n1.png,tumour\n", 2)
    assert [row.label for row in found.rows] == ["none", "tumour"]


def test_labels_written_in_several_ways_are_one_class_and_told(tmp_path: Path) -> None:
    ways = ["yes", "Yes", "YES", "no"]
    found = read(tmp_path, table("age", lambda number: number % 9).replace("yes", "Yes", 5))
    assert {row.label for row in found.rows} == {"yes", "no"}
    assert "'Yes' (5) differ from 'yes' (25)" in found.told[0]
    content = "\n".join(["path,label", *(f"{i}.png,{ways[i % 4]}" for i in range(60))])
    assert {row.label for row in read(tmp_path, content).rows} == {"yes", "no"}
    apart = read(tmp_path, content, reading=LabelReading(join_spellings=False))
    assert {row.label for row in apart.rows} == set(ways)
    assert "are classes of their own" in " ".join(apart.told)
    twice = read(tmp_path, "path,label\n0.png,yes\n0.png,Yes\n", 1)
    assert [row.label for row in twice.rows if row.blob.path == "0.png"] == ["yes"]


def test_folders_written_in_several_ways_are_one_class_and_told(tmp_path: Path) -> None:
    for folder in ("Brain_Tumour", "brain tumour", "No"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").write_bytes(b"x")
    store = Datastore(str(tmp_path))
    found = label_blobs(store, store.blobs())
    assert [row.label for row in found.rows] == ["brain tumour", "No", "brain tumour"]
    assert "'Brain_Tumour' (1) differ from 'brain tumour' (1)" in found.told[0]


ROWS = [{"path": "0.png", "label": "yes"}, {"path": "1.png", "label": "no"}]
FRAME = pandas.DataFrame(ROWS)
CSV = "path,label\n0.png,yes\n1.png,no\n"


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2),
        "\ufeff" + json.dumps(ROWS),
        ")]}',\n" + json.dumps(ROWS),
        json.dumps({"data": ROWS}),
        json.dumps({"count": 2, "items": ROWS}),
        FRAME.to_json(),
        FRAME.to_json(orient="split"),
        FRAME.to_json(orient="table"),
        FRAME.to_json(orient="records"),
        FRAME.to_json(orient="records", lines=True),
        json.dumps(FRAME.to_dict(orient="list")),
        "\ufeff\ufeff" + CSV,
        "sep=,\n" + CSV,
        "sep=;\n" + CSV.replace(",", ";"),
        CSV.replace(",", "|"),
        CSV.replace("\n", "\r\n"),
        "\n" + CSV,
        CSV.replace(",", "\t").encode("utf-16"),
        FRAME.to_csv().encode(),
    ],
)
def test_a_table_in_any_form_that_programs_write(content: str | bytes, tmp_path: Path) -> None:
    assert {row.blob.path: row.label for row in read(tmp_path, content, 2).rows} == {
        "0.png": "yes",
        "1.png": "no",
    }
