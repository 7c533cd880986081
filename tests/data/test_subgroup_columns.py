"""Columns by which figures are to be given: carried as they are written, refused where they are not there."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks.data.labels import label_blobs
from tasks.data.settings import LabelReading
from tasks.errors import ManifestMismatch
from tasks.stores.datastore import Datastore


def _read(folder: Path, reading: LabelReading, *, table: bool = True) -> dict[str, tuple[str | None, ...]]:
    (folder / "store" / "yes").mkdir(parents=True, exist_ok=True)
    for number in range(4):
        (folder / "store" / "yes" / f"{number}.png").write_bytes(b"x")
    rows = ["yes/0.png,yes,North,34", "yes/1.png,no,,NaN", "yes/2.png,no,south,51"]
    (folder / "table.csv").write_text("\n".join(["path,label,Site Name,age", *rows]), encoding="utf-8")
    store = Datastore(str(folder / "store"))
    found = label_blobs(store, store.blobs(), str(folder / "table.csv") if table else None, reading)
    return {row.blob.path: row.subgroups for row in found.rows}


def test_only_what_is_asked_for_is_carried(tmp_path: Path) -> None:
    found = _read(tmp_path, LabelReading(subgroup_columns=("age", "site_name")))
    assert found == {
        "yes/0.png": ("34", "North"),
        "yes/1.png": (None, None),
        "yes/2.png": ("51", "south"),
        "yes/3.png": (),
    }
    assert set(_read(tmp_path, LabelReading()).values()) == {()}


def test_what_cannot_be_carried_is_refused_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ManifestMismatch, match="--subgroup-columns scanner names no column, there are age"):
        _read(tmp_path, LabelReading(subgroup_columns=("scanner",)))
    with pytest.raises(ManifestMismatch, match="there is no table"):
        _read(tmp_path, LabelReading(subgroup_columns=("age",)), table=False)
    with pytest.raises(ValidationError, match="twice"):
        LabelReading(subgroup_columns=("age", "age"))
