"""Folders and names that may tell of patients are a suggestion, and nothing is made of what does not."""

from pathlib import Path

import pytest

from tasks.data.labels import label_blobs
from tasks.data.patients_in_names import patients_in_names
from tasks.stores.datastore import Datastore


@pytest.mark.parametrize(
    "name",
    [
        "{label}/P{patient:03}/{picture}.png",
        "{label}/{patient}/{picture}.png",
        "{label}/patient{patient}_{picture}.png",
        "{label}/P{patient:03}_{picture}.png",
        "{label}/slice{picture}_subject-{patient}.png",
        "{label}/{patient:04}-{picture}.jpg",
        "{label}/TCGA-AB-{patient:04}_{picture}.png",
        "{label}/case {patient} ({picture}).png",
    ],
)
def test_a_patient_of_several_images_is_suggested(name: str) -> None:
    paths = [
        name.format(label="ny"[patient % 2], patient=patient, picture=picture)
        for patient in range(12)
        for picture in range(3)
    ]
    [told] = patients_in_names([(path, path[0]) for path in paths], depth=1)
    assert "12 different ones in 36 images" in told
    assert "--manifest" in told


@pytest.mark.parametrize(
    "name",
    [
        "{label}/Y{number}.jpg",
        "{label}/{number}.png",
        "{label}/image_{number}.png",
        "{label}/no {number} (1).jpg",
        "{label}/IMG_20200103_{number}.jpg",
        "{label}/scan-{number}.dcm.png",
        "{label}/T1/{number}.png",
    ],
)
def test_a_number_of_an_image_is_no_patient(name: str) -> None:
    paths = [name.format(label="ny"[number % 2], number=number) for number in range(40)]
    assert patients_in_names([(path, path[0]) for path in paths], depth=1) == []


def test_nothing_is_suggested_where_groups_are_given(tmp_path: Path) -> None:
    for patient in range(6):
        for picture in range(2):
            path = tmp_path / "ny"[patient % 2] / f"P{patient}" / f"{picture}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
    store = Datastore(str(tmp_path))
    assert "--manifest" in label_blobs(store, store.blobs()).told[0]
    rows = [f"{blob.path},{blob.path.split('/')[1]}" for blob in store.blobs()]
    table = tmp_path.with_suffix(".csv")
    table.write_text("\n".join(["path,group", *rows]))
    assert label_blobs(store, store.blobs(), str(table)).told == ()


@pytest.mark.parametrize("data_set", ["brain_mri"])
def test_the_real_images_raise_no_suggestion(data_set: str, request: pytest.FixtureRequest) -> None:
    store = Datastore(str(request.getfixturevalue(data_set)))
    assert label_blobs(store, store.blobs()).told == ()
